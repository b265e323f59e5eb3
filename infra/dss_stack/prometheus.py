"""A private Prometheus of the local stack or of a test: a real server on loopback, with its data in a folder and the
configuration of a site.
"""

import json
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from dss_stack import health, processes
from dss_stack.errors import ServerMissing
from dss_stack.ports import LOOPBACK, choose_ports, is_free
from dss_stack.servers import Programs, find_prometheus
from dss_stack.settings import CHECKOUT
from dss_stack.stored_facts import Facts, store_facts, stored_facts

CONFIGURATION = CHECKOUT / "observability" / "prometheus"
"""Folder with ``prometheus.yml`` and ``rules/``, which all sites share; only the scraped addresses differ from site to
site.
"""

_PORTS = ("prometheus",)
_START_TIMEOUT_S = 60
_STOP_TIMEOUT_S = 30


class PrometheusServer:
    """Controls the Prometheus server whose files are in ``folder``.  Objects with the same folder control the same
    server.

    ``sysroot`` is a folder with unpacked packages, for machines where Prometheus is not installed.  ``configuration``
    is a folder with ``prometheus.yml`` and ``rules/``, read at every start.
    """

    def __init__(
        self, folder: Path, *, sysroot: Path | None = None, configuration: Path = CONFIGURATION
    ) -> None:
        self._folder = folder.resolve()
        self.sysroot = sysroot
        self._configuration = configuration
        self.log = self._folder / "prometheus.log"

    @property
    def url(self) -> str:
        return f"http://{self._address}"

    @property
    def installed(self) -> bool:
        try:
            self._programs()
        except ServerMissing:
            return False
        return True

    @property
    def process(self) -> psutil.Process | None:
        return next(iter(processes.working_in(self._folder, "prometheus")), None)

    def ready(self) -> bool:
        """True if the server answers queries."""
        return health.answers(f"{self.url}/-/ready")

    def start(self, targets: Mapping[str, Sequence[str]]) -> None:
        """Start the server, and return when it answers queries; at once if it does already.

        It scrapes ``targets``, addresses (host:port) by the name of their job, from now on, also if it runs already.
        Raises ServerMissing, StartFailed.
        """
        if self.process is None:
            self._take_free_port()
        self._scrape(targets)
        process = self.process or self._launch()
        processes.wait_until_ready(
            "Prometheus", self.ready, process=process, log=self.log, timeout_s=_START_TIMEOUT_S
        )

    def stop(self) -> None:
        """Stop the server, and return when it has ended and its last samples are on disk.  It is killed if that takes
        longer than _STOP_TIMEOUT_S.
        """
        if (process := self.process) is not None:
            processes.end(process, signal=signal.SIGTERM, timeout_s=_STOP_TIMEOUT_S)

    @property
    def _facts(self) -> Facts:
        return stored_facts(self._folder / "server.json", _PORTS)

    @property
    def _address(self) -> str:
        return f"{LOOPBACK}:{self._facts['ports']['prometheus']}"

    def _programs(self) -> Programs:
        return find_prometheus(self.sysroot)

    def _launch(self) -> psutil.Process:
        programs = self._programs()
        self._configure()
        return processes.launch(
            [programs.path("prometheus"), *self._options()],
            folder=self._folder,
            log=self.log,
            environment=programs.environment,
        )

    def _scrape(self, targets: Mapping[str, Sequence[str]]) -> None:
        """Write the addresses to scrape into files.  A running server notices the change by itself."""
        folder = self._folder / "targets"
        folder.mkdir(parents=True, exist_ok=True)
        for job, addresses in {**targets, "prometheus": [self._address]}.items():
            fresh = folder / f"{job}.new"
            fresh.write_text(json.dumps([{"targets": list(addresses)}]), encoding="utf-8")
            fresh.replace(folder / f"{job}.json")

    def _configure(self) -> None:
        """Copy the configuration into the server's folder, because paths in the configuration are relative to its own
        place.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(self._configuration / "prometheus.yml", self._folder)
        rules = self._folder / "rules"
        shutil.rmtree(rules, ignore_errors=True)
        shutil.copytree(self._configuration / "rules", rules)

    def _options(self) -> list[str]:
        settings = {
            "config.file": "prometheus.yml",
            "storage.tsdb.path": "data",
            "storage.tsdb.retention.time": "15d",
            "storage.tsdb.retention.size": "1GB",
            "web.listen-address": self._address,
        }
        return [f"--{name}={value}" for name, value in settings.items()]

    def _take_free_port(self) -> None:
        facts = self._facts
        if not is_free(facts["ports"]["prometheus"]):
            facts["ports"] = choose_ports(_PORTS)
            store_facts(self._folder / "server.json", facts)
