"""Whatever is sent to whatever address, no answer is a 500."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from dss_portal.openapi.description import description
from dss_portal.openapi.operations import OPERATIONS, Operation
from support import loopback
from support.sites import Site, new_ticket

pytestmark = pytest.mark.stack

log = logging.getLogger(__name__)

ROOT = "root@example.com"
ENDING = ("delete", "purge", "retry")
SCHEMA = schemathesis.openapi.from_dict(description("http://127.0.0.1"))
BOUNDED = settings(
    max_examples=15,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)

NASTY = (
    "",
    " ",
    "0",
    "-1",
    "1",
    "1.5",
    "2147483648",
    "9" * 30,
    "1e400",
    "nan",
    "-inf",
    "\x00",
    "a\x00b",
    "\r\n",
    "é☃😀",
    "\ud7ff\ufffe",
    "'; DROP TABLE ticket; --",
    "%s%n{0}",
    "../../etc/passwd",
    "x" * 5000,
    "٣",
    "ready",
    "success",
    "json",
    "hospital",
    "text/html",
)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A portal with tickets in several states, a sysadmin who works for a provider, and a count."""

    http: httpx.Client
    known: dict[str, tuple[str, ...]]
    tried: Counter[int]


@pytest.fixture(scope="module")
def target(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    site.offer(tmp_path_factory.mktemp("offer"), "hospital")
    with site.program(ROOT, "--sysadmin", "--tier", "xnat") as root:
        root.post("/api/admin/providers/hospital/users", data={"email": ROOT})
        githash = root.get("/api/services?format=json").json()["result"][0]["githash"]
        tickets = [new_ticket(root) for _ in range(3)]
        root.post(f"/api/pro/services/{githash}/claims", data={"provider": "hospital"})
    scopes = [word for scope in ("tickets", "provider", "admin") for word in ("--scope", scope)]
    token = site.stack.command("tokens", "create", ROOT, *scopes).split()[-1]
    known = {
        "ticket_id": tuple(map(str, tickets)),
        "githash": (githash,),
        "provider": ("hospital",),
        "log_id": ("1", "2"),
        "index": ("0",),
        "area": ("input", "results"),
        "category": ("info", "error"),
        "which": ("completed",),
        "services": (githash,),
        "chunk_start": ("0",),
        "chunk_end": ("1",),
    }
    bearer = {"Authorization": f"Bearer {token}"}
    tried: Counter[int] = Counter()
    with loopback.client(base_url=site.url, headers=bearer, timeout=30) as http:
        yield Target(http=http, known=known, tried=tried)
    log.info("%d requests, by status: %s", tried.total(), dict(sorted(tried.items())))


def destroys(operation: Operation) -> bool:
    return any(word in operation.path for word in ENDING)


OPERATIONS_IN_ORDER = sorted(OPERATIONS, key=destroys)  # what ends tickets comes last


@pytest.mark.parametrize("operation", OPERATIONS_IN_ORDER, ids=lambda o: f"{o.method} {o.path}")
def test_nasty_values_for_real_things_are_no_500(operation: Operation, target: Target) -> None:
    @BOUNDED
    @given(st.data())
    def attack(data: st.DataObject) -> None:
        def value(name: str) -> str:
            return data.draw(st.sampled_from((*target.known.get(name, ()) * 20, *NASTY)), name)

        fields = {
            name.rstrip("!"): value(name.rstrip("!"))
            for name in (*operation.form, *operation.query)
            if data.draw(st.integers(0, 9)) > 0
        }
        file = (value("name"), b"x") if data.draw(st.booleans()) else None
        answer = target.http.request(
            operation.method,
            _path(operation, value),
            data=fields if operation.form else None,
            params=fields if operation.query else None,
            files={"myfile": file} if operation.sends_file and file else None,
        )
        target.tried[answer.status_code] += 1
        assert answer.status_code < 500, (answer.request.url, fields, file, answer.text)

    attack()


@pytest.mark.parametrize("operation", OPERATIONS_IN_ORDER, ids=lambda o: f"{o.method} {o.path}")
def test_what_the_description_allows_and_forbids_is_no_500(
    operation: Operation, target: Target, site: Site
) -> None:
    described = SCHEMA[operation.path][operation.method]
    cases = st.one_of(*(described.as_strategy(generation_mode=mode) for mode in GenerationMode))

    @BOUNDED
    @given(cases)
    def attack(case: schemathesis.Case[Any]) -> None:
        headers = {"Authorization": target.http.headers["Authorization"]}
        answer = case.call(base_url=site.url, headers=headers, allow_redirects=False, timeout=30)
        target.tried[answer.status_code] += 1
        assert answer.status_code < 500, (answer.request.url, answer.request.body, answer.text)

    attack()


def _path(operation: Operation, value: Callable[[str], str]) -> str:
    parts = operation.path.split("/")
    filled = [quote(value(p[1:-1]), safe="") if p.startswith("{") else p for p in parts]
    return "/".join(filled)
