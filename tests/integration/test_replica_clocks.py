"""Portals whose clocks differ by minutes are one site all the same."""

import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import missing
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support import loopback, sites
from support.brokers import fresh_vhost
from support.sites import Site, claim, new_ticket
from support.stacks import Stack
from support.waiting import wait_until

pytestmark = [pytest.mark.stack]

SERVICE = "lung-segmentation"
AHEAD = ("+90s", "-90s")


def other_clock(ahead: str) -> dict[str, str]:
    """Variables that move the clock of a process."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        missing("libfaketime is not installed: the package libfaketime.")
    return {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME": ahead,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


@pytest.fixture
def replicas(
    rabbit: RabbitNode, postgres: PostgresCluster, tmp_path: Path
) -> Iterator[dict[str, Site]]:
    """A portal with the database's clock, "", and one of each of AHEAD."""
    with fresh_vhost(rabbit) as amqp_url:
        first = sites.start(amqp_url, postgres, tmp_path)
        found = {"": first}
        try:
            for ahead in AHEAD:
                folder = tmp_path / uuid.uuid4().hex
                folder.mkdir()
                stack = Stack(
                    folder=folder,
                    amqp_url=amqp_url,
                    database_url=first.stack.database_url,
                    settings={"DSS_DATASTORE": str(first.stack.datastore), **other_clock(ahead)},
                )
                stack.start_one("portal")
                found[ahead] = Site(stack=stack)
            for site in found.values():
                wait_until(site.stack.portal_ready, 60, site.stack.logs)
            yield found
        finally:
            for site in found.values():
                site.stack.stop()


def test_sessions_forms_claims_and_logs_are_good_at_every_portal(
    replicas: dict[str, Site], tmp_path: Path
) -> None:
    here = replicas[""]
    here.offer(tmp_path, "LAB")
    token = here.stack.token("root@example.com", "--sysadmin")
    here.stack.command("providers", "add-user", "LAB", "root@example.com")

    for signing in replicas.values():
        with loopback.client(base_url=signing.url, timeout=30) as client:
            assert client.post("/api/login", data={"token": token}).status_code == 200
            form = _form_token(client.get("/admin/users").text)
            for asked in replicas.values():
                answer = client.get(f"{asked.url}/api/services")
                assert SERVICE in answer.text, (signing.url, answer.text)
                kept = client.post(
                    f"{asked.url}/admin/users",
                    data={"form_token": form, "email": f"{uuid.uuid4().hex}@example.com"},
                )
                assert "too old" not in kept.text
            new_ticket(client)
            claim(client, "LAB", SERVICE)
        token = here.stack.token("root@example.com", "--sysadmin")

    leases = here.sql(
        "SELECT expires_at > now(), granted_at BETWEEN now() - interval '1 min' AND now() + interval '1 s' FROM claim"
    )
    assert leases == [(True, True)] * len(replicas)
    lines = here.sql("SELECT bool_and(abs(extract(epoch FROM at - now())) < 60) FROM ticket_log")
    assert lines == [(True,)]
    for ahead in AHEAD:
        said = (replicas[ahead].stack.folder / "portal.log").read_text(encoding="utf-8")
        assert "this machine's clock differs from the database's" in said


def _form_token(page: str) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', page)
    assert found, page[:2000]
    return found[1]
