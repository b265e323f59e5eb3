"""The three programs as real processes, on real servers, for end-to-end tests and benchmarks."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from dss_stack.ports import choose_ports
from support import loopback
from support.portal_commands import portal_commands

PROGRAMS = {
    "portal": ["dss_portal", "serve"],
    "dispatch": ["dss_dispatch", "serve", "lung-segmentation"],
    "inference": ["dss_inference", "serve"],
}

SERVING = re.compile(r'worker\.server(: |", "message": ")serving')
"""The worker's log, as lines or as JSON."""

SERVICES = "/api/services?format=json"


def free_port() -> int:
    """One that no other lane of the suite and no outgoing connection takes."""
    return choose_ports(["port"])["port"]


def two_free_ports() -> int:
    """The first of two neighbours."""
    while True:
        port = free_port()
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port + 1))
            return port


def leave_nothing_running() -> None:
    """When this program is stopped or its terminal is closed, what it has started ends, too."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, lambda *_: sys.exit(1))


@dataclass
class Stack:
    """Portal, dispatcher and worker with their own folder, database and virtual host.

    ``settings`` are further variables of their environment; ``wrappers`` are commands by program that
    start it, such as ``setpriv``.
    """

    folder: Path
    amqp_url: str
    database_url: str
    settings: dict[str, str] = field(default_factory=dict)
    wrappers: dict[str, list[str]] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    health_ports: dict[str, int] = field(default_factory=dict)
    running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    _visitor: httpx.Cookies = field(default_factory=httpx.Cookies)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def datastore(self) -> Path:
        return self.folder / "datastore"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DSS_AMQP_URL": self.amqp_url,
            "DSS_DATABASE_URL": self.database_url,
            "DSS_DATASTORE": str(self.datastore),
            "DSS_BIND": f"127.0.0.1:{self.port}",
            "DSS_PUBLIC_URL": self.url,
            "DSS_SECRET_KEY": "k" * 32,
            **self.settings,
        }

    def command(self, *arguments: str) -> str:
        """Run a command of ``dss-portal`` to its end; what it printed.  Raises CalledProcessError."""
        return portal_commands().run(arguments, self.environment)

    def token(self, email: str = "ann@example.com", *options: str) -> str:
        """A fresh one-time token."""
        return self.command("users", "add", email, *options).split()[-1]

    def start(self, *programs: str) -> None:
        self.command("migrate")
        self.datastore.mkdir(exist_ok=True)
        for program in programs or PROGRAMS:
            self.start_one(program)

    def start_one(self, program: str, *arguments: str, **settings: str) -> None:
        """One of PROGRAMS, or under a name of its own whatever ``arguments`` say."""
        wrapper = self.wrappers.get(program, [])
        command = [*wrapper, sys.executable, "-m", *(arguments or PROGRAMS[program])]
        port = self.health_ports.setdefault(program, free_port())
        own = {"DSS_METRICS_BIND": f"127.0.0.1:{port}", **settings}
        environment = {**self.environment, **own}
        with (self.folder / f"{program}.log").open("ab") as log:
            self.running[program] = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log
            )

    def portal_ready(self) -> bool:
        return _says_ready(self.url)

    def ready(self, program: str) -> bool:
        """What one of ``running`` says of itself."""
        return _says_ready(f"http://127.0.0.1:{self.health_ports[program]}")

    def announced(self) -> set[str]:
        """The names of the services that the portal lists so far; none while it does not answer."""
        with loopback.client(base_url=self.url, cookies=self._visitor) as client:
            try:
                if client.get(SERVICES).status_code == httpx.codes.UNAUTHORIZED:
                    client.post("/api/login", data={"token": self.token("probe@example.com")})
                listed = client.get(SERVICES).raise_for_status().json()["result"]
            except httpx.HTTPError:
                return set()
            self._visitor = client.cookies
            return {row["name"] for row in listed}

    def is_complete(self) -> bool:
        """True once ``lung-segmentation`` is listed, and the worker takes requests for it."""
        log = self.folder / "inference.log"
        serves = log.exists() and SERVING.search(log.read_text(encoding="utf-8")) is not None
        return serves and "lung-segmentation" in self.announced()

    def kill(self, program: str) -> None:
        """As if the power had failed."""
        self.running[program].kill()
        self.running.pop(program).wait()

    def stop(self) -> None:
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        for process in self.running.values():
            try:
                process.wait(60)
            except subprocess.TimeoutExpired as error:
                raise AssertionError(f"a program does not stop\n{self.logs()}") from error
        self.running.clear()

    def logs(self) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text(encoding='utf-8')[-3000:]}"
            for path in self.folder.glob("*.log")
        )


def _says_ready(address: str) -> bool:
    try:
        return loopback.get(f"{address}/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
