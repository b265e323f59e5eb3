"""Everything that is to be hurt: servers and programs of their own, in a folder of their own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from chaos.bucket import BucketStore
from chaos.disk import Disk
from chaos.stand_in import BUNDLE
from chaos.told import Receivers
from dss_broker.topology import DEAD_QUEUE
from dss_portal.notifications.receivers import MAIL_ANSWER_S
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support import loopback
from support.databases import number_from
from support.stacks import free_port
from support.waiting import wait_until

TESTS = Path(__file__).parents[1]
SERVICE = "chaos"
LEASE_S = 8
SILENCE_S = 25
STOP_S = 10
PORTALS, DISPATCHERS, WORKERS = 2, 3, 2

SERVICE_JSON = {
    "name": SERVICE,
    "version": "1.0.0",
    "shortdesc": "Waits, and signs what it did",
    "tags": [{"name": "Main", "type": "MainImage", "hint": "Any image", "required": True}],
    "dispatch": {"tag": "Main", "bundle": BUNDLE, "segmentation": "Noise"},
}


@dataclass
class Program:
    """A process; ``None`` while it is down on purpose."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    process: "subprocess.Popen[bytes] | None" = None
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        with self._turn:
            self._start()

    def _start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdout=log, stderr=log
            )

    def send(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)

    def end(self, number: int) -> None:
        """With ``number`` (SIGKILL, SIGTERM); returns when it is gone."""
        with self._turn:
            ending, self.process = self.process, None
            if ending is not None:
                ending.send_signal(number)
                ending.wait(STOP_S + 30)

    def revive(self) -> bool:
        """Start it again if it has ended without being told to; True if it had."""
        with self._turn:
            fell = self.process is not None and self.process.poll() is not None
            if fell:
                self._start()
            return fell


@dataclass
class Site:
    """``fell`` names the programs that ended without being told to, in order; Python finds them on ``path``."""

    folder: Path
    receivers: Receivers
    sysroot: Path | None = None
    sabotage: str = ""
    lease_s: float = LEASE_S
    outage_s: float = 0.0
    tickets: int = 500
    in_bucket: bool = False
    path: str = str(TESTS)
    fell: list[str] = field(default_factory=list)
    programs: dict[str, Program] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rabbit = RabbitNode(self.folder / "rabbitmq", sysroot=self.sysroot)
        self.postgres = PostgresCluster(self.folder / "postgres", sysroot=self.sysroot)
        self.store: Disk | BucketStore = Disk(self.folder / "datastore", self.tickets)
        if self.in_bucket:
            self.store = BucketStore(self.folder / "s3")
        self._closing = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)

    @property
    def portals(self) -> list[str]:
        """Their addresses."""
        return [
            f"http://{p.environment['DSS_BIND']}" for n, p in self.programs.items() if "portal" in n
        ]

    def start(self) -> None:
        """Return when the service is offered."""
        self.rabbit.start()
        self.postgres.start()
        self.store.open()
        (self.folder / "log").mkdir()
        self._write_service()
        self._add_programs()
        self.migrate(self.path)
        for program in self.programs.values():
            program.start()
        self._supervisor.start()
        wait_until(lambda: all(map(answers, self.portals)), 60, self.last_words)
        wait_until(self._offered, 60, self.last_words)

    def stop(self) -> None:
        self._closing.set()
        if self._supervisor.is_alive():
            self._supervisor.join()
        for program in self.programs.values():
            program.end(signal.SIGKILL)
        self.rabbit.kill()
        self.rabbit.stop()
        self.postgres.stop()
        self.store.close()

    def last_words(self) -> str:
        logs = sorted((self.folder / "log").glob("*.log"))
        return "\n".join(
            f"--- {path.name}\n{path.read_text(encoding='utf-8')[-1500:]}" for path in logs
        )

    def given_up(self) -> Counter[tuple[int, str]]:
        """How often a portal has waited for a receiver's answer until its time limit, by ticket and kind of channel."""
        lines = [
            line
            for path in (self.folder / "log").glob("portal-*.log")
            for line in path.read_text(encoding="utf-8").splitlines()
        ]
        return slow_answers(lines)

    def _write_service(self) -> None:
        (self.folder / "service").mkdir()
        (self.folder / "service/service.json").write_text(
            json.dumps(SERVICE_JSON), encoding="utf-8"
        )

    def _add_programs(self) -> None:
        portal = ["dss_portal", "serve"]
        if self.sabotage:
            portal = ["chaos.sabotage", self.sabotage]
        for number in range(PORTALS):
            self._add(f"portal-{number}", *portal)
        for number in range(DISPATCHERS):
            self._add(f"dispatch-{number}", "dss_dispatch", "serve", str(self.folder / "service"))
        for number in range(WORKERS):
            self._add(f"inference-{number}", "chaos.stand_in")

    def _add(self, name: str, *module: str) -> None:
        self.programs[name] = Program(
            name=name,
            command=[
                sys.executable,
                "-m",
                *(["chaos.in_small_parts"] if self.in_bucket else []),
                *module,
            ],
            environment=self._environment()
            | self.store.settings(name)
            | {"DSS_BIND": f"127.0.0.1:{free_port()}", "DSS_INSTANCE": name},
            log=self.folder / "log" / f"{name}.log",
        )

    def _environment(self) -> dict[str, str]:
        """Short leases, so that a minute sees many of them; no reconciliation to hide a lost event."""
        return {
            **os.environ,
            "PYTHONPATH": self.path,
            "DSS_AMQP_URL": self.rabbit.amqp_url,
            "DSS_DATABASE_URL": self.postgres.database_url,
            "DSS_SECRET_KEY": "k" * 32,
            "DSS_LOG_JSON": "true",
            "DSS_LEASE_S": str(self.lease_s),
            "DSS_MAX_ATTEMPTS": "50",
            "DSS_RECONCILE_S": "3600",
            "DSS_INFERENCE_SILENCE_S": str(SILENCE_S),
            "DSS_TIDY_S": "4",
            "DSS_STOP_S": str(STOP_S),
            "DSS_REQUESTS_PER_MINUTE": "0",
            **self.receivers.settings(),
        }

    def migrate(self, path: str) -> None:
        """Bring the schema up to date with the portal that is found on ``path``."""
        done = subprocess.run(
            [sys.executable, "-m", "dss_portal", "migrate"],
            env=self._environment() | {"PYTHONPATH": path},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _supervise(self) -> None:
        while not self._closing.wait(0.3):
            self.fell += [name for name, program in self.programs.items() if program.revive()]

    def _offered(self) -> bool:
        consumers = self.console("queues/%2F/dss.dispatch." + SERVICE).get("consumers", 0)
        waiting = self.console("queues/%2F/dss.inference." + BUNDLE).get("consumers", 0)
        return consumers == DISPATCHERS and waiting == WORKERS and bool(self._listed())

    def _listed(self) -> int:
        return asyncio.run(number_from(self.postgres.database_url, "SELECT count(*) FROM service"))

    def console(self, path: str) -> dict[str, int]:
        """What RabbitMQ's HTTP API says of one thing; {} if it does not know it."""
        answer = self._console("GET", path)
        return answer.json() if answer.status_code == httpx.codes.OK else {}

    def queues(self) -> list[dict[str, str]]:
        """All that there are, with the number of their ``messages``, which RabbitMQ counts some time after a queue is new."""
        found: list[dict[str, str]] = []

        def are_counted() -> bool:
            found[:] = self._console("GET", "queues").json()
            return all("messages" in queue for queue in found)

        wait_until(are_counted, 60)
        return found

    def dead_letters(self) -> list[dict[str, str]]:
        """What was parked, left where it is."""
        wanted = {"count": 1000, "ackmode": "ack_requeue_true", "encoding": "auto"}
        answer = self._console("POST", f"queues/%2F/{DEAD_QUEUE}/get", wanted)
        found: list[dict[str, str]] = answer.json() if answer.is_success else []
        return found

    def cut_connections(self) -> int:
        """Close every client's connection from the broker's side; how many."""
        found = self._console("GET", "connections").json()
        for connection in found:
            self._console("DELETE", f"connections/{connection['name']}")
        return len(found)

    def _console(self, method: str, path: str, body: object = None) -> httpx.Response:
        return loopback.request(
            method,
            json=body,
            url=f"{self.rabbit.console_url}/api/{path}",
            auth=(self.rabbit.user, self.rabbit.password),
            timeout=10,
        )


def slow_answers(lines: Iterable[str]) -> Counter[tuple[int, str]]:
    """The attempts to notify, by ticket and kind of channel, that failed after MAIL_ANSWER_S or more, by the log ``lines``.

    That is the shortest time limit for an answer.
    """
    found: Counter[tuple[int, str]] = Counter()
    for line in lines:
        if '"notification not taken"' not in line:
            continue
        facts = json.loads(line)
        found[facts["ticket"], facts["kind"]] += facts["seconds"] >= MAIL_ANSWER_S
    return found


def answers(address: str) -> bool:
    """Does a portal say that it can do its work?"""
    try:
        return loopback.get(f"{address}/readyz", timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
