"""The servers that are measured, each with the same users, service and tickets: see ``seeds``."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.side_by_side import seeds
from dss_stack.ports import choose_ports
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support import reference_server
from support.databases import make_database
from support.poolers import pgbouncer
from support.stacks import Stack
from support.waiting import wait_until

PROVIDER = reference_server.PROVIDER
USERS = 20
UWSGI = "uwsgi==2.0.31"
_REFERENCE = "rows are fsynced, files are not"
_OURS = "rows and files are fsynced"
PROMISES = {
    "reference": _REFERENCE,
    "reference, uWSGI 4x4": _REFERENCE,
    "ours": _OURS,
    "ours, PgBouncer": _OURS,
}
"""By side, what is on disk when it has answered 200."""
QUIET = {**reference_server.SERVICE, "name": "quiet"}
"""A service for which no ticket waits, so that a claim gives the ticket that was submitted last."""


@dataclass(frozen=True, kw_only=True)
class User:
    """``cookie`` is that of a session; ``tickets`` are seeded, claimed, and have a log."""

    cookie: str
    tickets: list[int]


@dataclass(frozen=True, kw_only=True)
class Side:
    """``pids`` are those of the processes that answer.

    ``githash`` is the service of the seeded tickets, ``quiet`` that of QUIET.  ``keeps_connections``: a connection serves several requests.
    """

    name: str
    url: str
    users: list[User]
    githash: str
    quiet: str
    pids: list[int]
    keeps_connections: bool = True

    def cpu_s(self) -> float:
        """CPU time of all its processes so far."""
        return sum(cpu_s(pid) for pid in self.pids)

    def forget_peak(self) -> None:
        """Let ``peak_mb`` begin anew."""
        for pid in self.pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="utf-8")

    def peak_mb(self) -> float:
        """Most memory that one of its processes has had."""
        return max(_status_kb(pid, "VmHWM") for pid in self.pids) / 1024


@contextmanager
def servers(folder: Path) -> Iterator[tuple[RabbitNode, PostgresCluster]]:
    """RabbitMQ and PostgreSQL of a benchmark, in ``folder``, which exists."""
    with ExitStack() as stack:
        rabbit, postgres = RabbitNode(folder / "rabbit"), PostgresCluster(folder / "postgres")
        stack.callback(postgres.stop)
        stack.callback(rabbit.stop)
        stack.callback(rabbit.kill)
        postgres.start()
        rabbit.start()
        yield rabbit, postgres


def cpu_s(pid: int) -> float:
    """CPU time of one process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _status_kb(pid: int, name: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1])


@contextmanager
def reference(folder: Path, tickets: int, *, uwsgi: bool = False) -> Iterator[Side]:
    """itksnap-dss-server, stand-alone or by uWSGI with 4 processes of 4 threads."""
    python = reference_server.installed()
    folder.mkdir()
    database = folder / "datastore" / "alfabis.sqlite3"
    tokens = {f"user{i}@example.com": uuid.uuid4().hex for i in range(USERS)}
    with reference_server.running(python, folder) as url, httpx.Client(base_url=url) as http:
        githash = reference_server.register(http, folder / "service").githash
        quiet = reference_server.add_service(http, folder / "quiet", QUIET)
    with closing(sqlite3.connect(database)) as connection:
        seeded = seeds.fill_sqlite(connection, tokens, githash, PROVIDER, tickets)
    serving = (
        _uwsgi(python, folder)
        if uwsgi
        else reference_server.running_with_pid(python, folder, one_user=False)
    )
    with serving as (url, pid):
        yield Side(
            name="reference, uWSGI 4x4" if uwsgi else "reference",
            url=url,
            users=_signed_in(url, tokens, seeded),
            githash=githash,
            quiet=quiet,
            pids=[pid, *children(pid)],
            keeps_connections=not uwsgi,
        )


def _uwsgi_of(python: Path) -> Path:
    """The program of uWSGI beside that interpreter; pip builds it there if it is missing, with a C compiler."""
    program = python.with_name("uwsgi")
    if not program.exists():
        pip = [str(python), "-m", "pip", "install", "--quiet", UWSGI]
        subprocess.run(pip, check=True, timeout=240)
    return program


@contextmanager
def _uwsgi(python: Path, folder: Path) -> Iterator[tuple[str, int]]:
    port = choose_ports(["port"])["port"]
    command = [
        *(str(_uwsgi_of(python)), "--http-socket", f"127.0.0.1:{port}", "--master"),
        *("--module", "itksnap_dss_server.app:application", "--virtualenv", str(python.parents[1])),
        *("--processes", "4", "--threads", "4", "--die-on-term", "--disable-logging"),
        *("--listen", "100"),
    ]
    variables = {
        "ALFABIS_COOKIE_DOMAIN": "",
        "PATH": "/usr/bin:/bin",
        "TMPDIR": str(folder / "tmp"),
    }
    with (folder / "uwsgi.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=variables, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: _answers(url), 20, (folder / "uwsgi.log").read_text)
        yield url, server.pid
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


@contextmanager
def ours(
    folder: Path,
    rabbit: RabbitNode,
    postgres: PostgresCluster,
    tickets: int,
    processes: int = 1,
    *,
    is_pooled: bool = False,
) -> Iterator[Side]:
    """A portal as it is shipped, without limits for each user, in so many processes.

    ``is_pooled``: its database is behind PgBouncer, so that no prepared statement is kept.
    """
    with our_site(folder, rabbit, postgres, tickets, processes, is_pooled=is_pooled) as (_, side):
        yield side


@contextmanager
def our_site(
    folder: Path,
    rabbit: RabbitNode,
    postgres: PostgresCluster,
    tickets: int,
    processes: int = 1,
    *,
    is_pooled: bool = False,
) -> Iterator[tuple[Stack, Side]]:
    """The portal of ``ours`` and its site, which may start other programs."""
    folder.mkdir()
    direct_url = make_database(postgres.database_url, "bench")
    with ExitStack() as opened:
        stack = Stack(
            folder=folder,
            amqp_url=rabbit.amqp_url,
            database_url=opened.enter_context(_pooled(direct_url, folder))
            if is_pooled
            else direct_url,
            settings={
                "DSS_REQUESTS_PER_MINUTE": "0",
                "DSS_CHECK_RESULTS": "false",
                "DSS_PORTAL_PROCESSES": str(processes),
            },
        )
        opened.callback(stack.stop)
        stack.start("portal")
        wait_until(stack.portal_ready, 60, stack.logs)
        stack.command("providers", "add", PROVIDER)
        for service in (reference_server.SERVICE, QUIET):
            (folder / "service.json").write_text(json.dumps(service), encoding="utf-8")
            stack.command("services", "add", PROVIDER, str(folder / "service.json"))
        tokens = {f"user{i}@example.com": uuid.uuid4().hex for i in range(USERS)}
        seeded = asyncio.run(seeds.fill_postgres(direct_url, tokens, PROVIDER, tickets))
        side = Side(
            name="ours, PgBouncer" if is_pooled else "ours",
            url=stack.url,
            users=_signed_in(stack.url, tokens, seeded.tickets),
            githash=seeded.githashes[reference_server.SERVICE["name"]],
            quiet=seeded.githashes[QUIET["name"]],
            pids=[stack.running["portal"].pid, *children(stack.running["portal"].pid)],
        )
        yield stack, side


@contextmanager
def _pooled(database_url: str, folder: Path) -> Iterator[str]:
    (folder / "pgbouncer").mkdir()
    with pgbouncer(database_url, folder / "pgbouncer", connections=20) as url:
        yield url


def _signed_in(url: str, tokens: dict[str, str], tickets: dict[str, list[int]]) -> list[User]:
    found = []
    for email, token in tokens.items():
        with httpx.Client(base_url=url, timeout=30) as http:
            http.post("/api/login", data={"token": token}).raise_for_status()
            cookie = f"webpy_session_id={http.cookies['webpy_session_id']}"
            found.append(User(cookie=cookie, tickets=tickets[email]))
    return found


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/about").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def children(pid: int) -> list[int]:
    """The processes that this one has started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    return [int(child) for child in text.split()]
