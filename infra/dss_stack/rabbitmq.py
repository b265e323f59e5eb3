"""A private RabbitMQ node of the local stack or of a test: a real server on loopback, with the management console and
its data in a folder.
"""

import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path

import httpx
import psutil

from dss_stack import health, processes, rabbitmq_files
from dss_stack.ports import LOOPBACK, choose_ports, is_free, is_open
from dss_stack.rabbitmq_files import ClusterMember
from dss_stack.servers import Programs, find_rabbitmq, rabbitmq_within
from dss_stack.stored_facts import Facts, store_facts, stored_facts

_START_TIMEOUT_S = 300
"""With ten busy programs on two cores a first start took more than two minutes."""
_STOP_TIMEOUT_S = 60
_PORT_MAPPER_TIMEOUT_S = 5
_ALONE = "dss@localhost"


class RabbitNode:
    """Controls the RabbitMQ node whose files are in ``folder``.  Objects with the same folder control the same node.

    ``sysroot`` is a folder with unpacked packages, for machines where RabbitMQ is not installed.
    """

    user = rabbitmq_files.USER

    def __init__(
        self,
        folder: Path,
        *,
        sysroot: Path | None = None,
        member: ClusterMember | None = None,
        chroot: Path | None = None,
    ) -> None:
        """``member`` describes the cluster if the node is part of one; see ``rabbitmq_cluster``.

        ``chroot`` is the root of another Debian (``debian_root``) whose RabbitMQ is used; ``folder`` must be in it.
        """
        self._folder = folder.resolve()
        self._in_cluster = member is not None
        self._member = member or ClusterMember(
            name=_ALONE, names=(_ALONE,), cookie=secrets.token_hex(16)
        )
        self.sysroot, self.chroot = sysroot, chroot
        self.log = self._folder / "log" / "console.log"

    @property
    def password(self) -> str:
        return self._facts["secret"]

    @property
    def amqp_url(self) -> str:
        return f"amqp://{self.user}:{self.password}@{LOOPBACK}:{self._ports['amqp']}/%2F"

    def amqp_url_of(self, user: str) -> str:
        """The AMQP URL with the login of ``user``, one of ``dss_broker.rights.USERS``."""
        password = rabbitmq_files.password_of(user, self.password)
        return f"amqp://{user}:{password}@{LOOPBACK}:{self._ports['amqp']}/%2F"

    @property
    def console_url(self) -> str:
        """Address of the management console and of its HTTP API."""
        return f"http://{LOOPBACK}:{self._ports['console']}"

    @property
    def metrics(self) -> str:
        """Address (host:port) of the node's metrics for Prometheus."""
        return f"{LOOPBACK}:{self._ports['prometheus']}"

    @property
    def process(self) -> psutil.Process | None:
        """The process of the node's Erlang virtual machine, whether or not the node is ready; None if it does not
        run.
        """
        return next(iter(processes.working_in(self._folder, "beam.smp")), None)

    @property
    def running(self) -> bool:
        return self.process is not None

    def ready(self) -> bool:
        """True if clients may connect and the management console answers."""
        if not is_open(self._ports["amqp"]):
            return False
        try:
            answer = health.get(f"{self.console_url}/api/whoami", auth=(self.user, self.password))
        except httpx.HTTPError:
            return False
        return answer.status_code == httpx.codes.OK

    def start(self) -> None:
        """Start the node, and return when it is ready; at once if it is already.

        What a killed start has left is repaired; if another program uses its ports, others are chosen, except in a
        cluster.  Raises ServerMissing, StartFailed.
        """
        process = self.process or self._launch()
        processes.wait_until_ready(
            "RabbitMQ", self.ready, process=process, log=self.log, timeout_s=_START_TIMEOUT_S
        )
        self._complete.touch()

    def stop(self) -> None:
        """Stop the node and, unless it is in a cluster, its port mapper, and return when they have ended.  The node is
        killed if that takes longer than _STOP_TIMEOUT_S.
        """
        if (process := self.process) is not None:
            processes.end(process, signal=signal.SIGTERM, timeout_s=_STOP_TIMEOUT_S)
        self._end_port_mapper()

    def kill(self) -> None:
        """End the node at once, as a power failure would.  Its port mapper continues."""
        if (process := self.process) is not None:
            processes.end(process, signal=signal.SIGKILL, timeout_s=_STOP_TIMEOUT_S)

    @property
    def _facts(self) -> Facts:
        return stored_facts(self._folder / "node.json", rabbitmq_files.PORTS)

    @property
    def _ports(self) -> dict[str, int]:
        return self._facts["ports"]

    @property
    def _complete(self) -> Path:
        """A file that is created when the node is ready for the first time.  Without it, the data are of an unfinished
        first start and are removed at the next start.
        """
        return self._folder / "complete"

    def _launch(self) -> psutil.Process:
        programs = self._programs()
        facts = self._facts_for_start()
        if not self._complete.exists():
            shutil.rmtree(self._folder / "mnesia", ignore_errors=True)
        rabbitmq_files.write_files(
            self._folder,
            ports=facts["ports"],
            password=facts["secret"],
            member=self._member,
        )
        return processes.launch(
            [*programs.within(self._folder), programs.path("rabbitmq-server")],
            folder=self._folder,
            log=self.log,
            environment=self._environment(programs),
        )

    def _facts_for_start(self) -> Facts:
        """Ports and password for a start.  A left-over port mapper (epmd) is ended first; if another program uses one
        of the ports, all are chosen anew, except in a cluster.
        """
        self._end_port_mapper()
        facts = self._facts
        if self._in_cluster:
            return facts
        if not all(is_free(port) for port in facts["ports"].values()):
            facts["ports"] = choose_ports(rabbitmq_files.PORTS)
            store_facts(self._folder / "node.json", facts)
        return facts

    def _end_port_mapper(self) -> None:
        """End Erlang's port mapper (epmd).  It continues after its node has ended, and can be ended only when it has
        noticed the node's end, so this is tried for some seconds.

        The port mapper of a cluster is shared by the nodes, and is not ended.
        """
        if not self._in_cluster:
            self.end_port_mapper()

    def end_port_mapper(self) -> None:
        port = self._ports["epmd"]
        until = time.monotonic() + _PORT_MAPPER_TIMEOUT_S
        programs = self._programs()
        while is_open(port) and time.monotonic() < until:
            subprocess.run(
                [*programs.within(self._folder), "epmd", "-port", str(port), "-kill"],
                env=self._environment(programs),
                capture_output=True,
                check=False,
                timeout=30,
            )
            time.sleep(0.05)

    def _programs(self) -> Programs:
        return find_rabbitmq(self.sysroot) if self.chroot is None else rabbitmq_within(self.chroot)

    def _environment(self, programs: Programs) -> dict[str, str]:
        variables = rabbitmq_files.variables(self._folder, self._member.name, self._ports)
        return programs.environment | variables
