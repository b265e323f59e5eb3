"""The local stack: starts and stops its servers and programs in the right order."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from dss_stack.addresses import Addresses
from dss_stack.commands import run_module
from dss_stack.ports import LOOPBACK, choose_ports, is_free
from dss_stack.postgres import PostgresCluster
from dss_stack.process_states import ProcessState, Server, state_of
from dss_stack.program import Program
from dss_stack.prometheus import PrometheusServer
from dss_stack.rabbitmq import RabbitNode
from dss_stack.settings import Settings
from dss_stack.stack_programs import PORTS, StackPrograms, programs_of
from dss_stack.stored_facts import Facts, signing_key, store_facts, stored_facts

_PORTAL_PORT = 8080

Report = Callable[[str], None]
"""Function that is called with the name of each server or program when it is ready, or when it has ended."""


class Stack:
    """The local stack in the folder ``settings.state``, which contains all its data.  ``environment`` are variables for
    the programs, in addition to the addresses of the servers and programs.
    """

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        self._settings = settings
        self._environment = environment
        self.state = settings.state.absolute()
        sysroot = self.state / "sysroot"
        self.rabbit = RabbitNode(self.state / "rabbitmq", sysroot=sysroot)
        self.postgres = PostgresCluster(self.state / "postgres", sysroot=sysroot)
        self.prometheus = PrometheusServer(self.state / "prometheus", sysroot=sysroot)

    @property
    def exists(self) -> bool:
        """True if the file with the stack's ports and key exists, which the first start writes."""
        return self._facts_file.exists()

    @property
    def owns_rabbit(self) -> bool:
        """True if the stack runs its own RabbitMQ; False if the settings name another broker.

        If the settings name the stack's own broker, that is not another one: a shell may source the file ``env`` before
        it calls ``dss-stack``.
        """
        return self._settings.amqp_url in {None, self.rabbit.amqp_url}

    @property
    def owns_postgres(self) -> bool:
        return self._settings.database_url in {None, self.postgres.database_url}

    @property
    def prometheus_url(self) -> str:
        """Address of Prometheus; "" if the stack runs none."""
        return self.prometheus.url if self._owns_prometheus else ""

    def addresses(self) -> Addresses:
        """The addresses of the servers and programs.  Servers that are not running may choose other ports when they
        start.
        """
        ours = self.owns_rabbit
        bind = self._settings.bind or f"{LOOPBACK}:{self._facts['ports']['portal']}"
        return Addresses(
            amqp_url=self._settings.amqp_url or self.rabbit.amqp_url,
            database_url=self._settings.database_url or self.postgres.database_url,
            datastore=(self._settings.datastore or self.state / "datastore").absolute(),
            bind=bind,
            public_url=self._settings.public_url or f"http://{bind}",
            secret_key=signing_key(self._facts),
            console_url=self.rabbit.console_url if ours else None,
            console_user=self.rabbit.user if ours else None,
            console_password=self.rabbit.password if ours else None,
        )

    def programs(self) -> StackPrograms:
        return programs_of(self.state, self.addresses(), self._facts["ports"])

    def start(self, report: Report) -> None:
        """Start every server and program that does not run, migrate the database, write the variables to the file
        ``env``, and return when all are ready.  Raises StackError.
        """
        self._start_servers(report)
        self._take_free_ports()
        addresses = self.addresses()
        addresses.datastore.mkdir(parents=True, exist_ok=True)
        addresses.write(self.state / "env")
        with ThreadPoolExecutor() as threads:
            watching = threads.submit(self._start_prometheus, report)
            self._start_programs(report)
            watching.result()

    def stop(self, report: Report) -> None:
        """Stop every program, then every server, and return when all have ended."""
        for program in self.programs().in_stop_order:
            program.stop()
            report(program.name)
        self._stop_servers(report)

    def parts(self) -> list[ProcessState]:
        """The state of every process that belongs to the stack, running or not: servers, then programs."""
        return [*self._server_parts(), *self._program_parts()]

    def logs(self) -> dict[str, Path]:
        """The log file of each server and program that the stack starts, by its name."""
        servers = {name: server.log for name, server in self._servers().items()}
        return servers | {program.name: program.log for program in self.programs().in_stop_order}

    def run(self, module: str, *arguments: str, purpose: str) -> str:
        """Run the Python module ``module`` to its end with the stack's environment, and return its output.  Raises
        StackError, which names the ``purpose``, if it fails.
        """
        return run_module(
            module,
            *arguments,
            environment=self.variables(),
            folder=self.state,
            purpose=purpose,
        )

    def variables(self) -> dict[str, str]:
        """The complete environment of a program of this stack.  The login at the stack's own broker is the
        administrator's.
        """
        return {**self._environment, **self.addresses().variables()}

    def _variables_of(self, user: str) -> dict[str, str]:
        """The complete environment of a program that connects to the broker as ``user``, which has only the rights that
        this program needs.
        """
        own = {"DSS_AMQP_URL": self.rabbit.amqp_url_of(user)} if self.owns_rabbit else {}
        return self.variables() | own

    @property
    def _facts_file(self) -> Path:
        return self.state / "stack.json"

    @property
    def _facts(self) -> Facts:
        return stored_facts(self._facts_file, PORTS, portal=_PORTAL_PORT)

    @property
    def _owns_prometheus(self) -> bool:
        """True if Prometheus is installed, and either the settings want it or one is still running, which must be
        stopped with the stack.
        """
        if not self.prometheus.installed:
            return False
        return self._settings.prometheus or self.prometheus.process is not None

    def _servers(self) -> dict[str, Server]:
        """The servers that the stack runs itself, by name."""
        servers: dict[str, Server] = {}
        if self.owns_rabbit:
            servers["rabbitmq"] = self.rabbit
        if self.owns_postgres:
            servers["postgres"] = self.postgres
        if self._owns_prometheus:
            servers["prometheus"] = self.prometheus
        return servers

    def _start_servers(self, report: Report) -> None:
        """Start RabbitMQ and PostgreSQL at the same time.  The database is migrated while RabbitMQ still starts."""

        def start_rabbit() -> None:
            if self.owns_rabbit:
                self.rabbit.start()
                report("rabbitmq")

        with ThreadPoolExecutor() as threads:
            rabbit = threads.submit(start_rabbit)
            if self.owns_postgres:
                self.postgres.start()
                report("postgres")
            self._migrate()
            rabbit.result()

    def _stop_servers(self, report: Report) -> None:
        def stop(name: str, server: Server) -> None:
            server.stop()
            report(name)

        with ThreadPoolExecutor() as threads:
            servers = self._servers().items()
            for done in [threads.submit(stop, *named) for named in servers]:
                done.result()

    def _migrate(self) -> None:
        """Migrate the database to the portal's current schema.  May run while RabbitMQ starts, so it must not read
        RabbitMQ's address.  Raises StackError.
        """
        url = self._settings.database_url or self.postgres.database_url
        run_module(
            "dss_portal",
            "migrate",
            environment={**self._environment, "DSS_DATABASE_URL": url},
            folder=self.state,
            purpose="Preparing the database",
        )

    def _start_prometheus(self, report: Report) -> None:
        """Start Prometheus, or give a running one the current addresses, unless it is disabled or not installed.  The
        stack also works without it.
        """
        if not self._owns_prometheus:
            return
        broker = [self.rabbit.metrics] if self.owns_rabbit else []
        self.prometheus.start({**self.programs().targets, "rabbitmq": broker})
        report("prometheus")

    def _take_free_ports(self) -> None:
        """Choose other ports for programs that are down and whose ports are now used by other processes, and store
        them.

        The portal gets _PORTAL_PORT if that is free.  Raises StackError if there are too few free ports.
        """
        facts = self._facts
        down = [
            program.name for program in self.programs().in_stop_order if program.process is None
        ]
        taken = [
            name
            for name, port in facts["ports"].items()
            if name.removesuffix("-metrics") in down and not is_free(port)
        ]
        if taken:
            facts["ports"] |= choose_ports(taken, portal=_PORTAL_PORT)
            store_facts(self._facts_file, facts)

    def _start_programs(self, report: Report) -> None:
        """Start the programs.  The dispatchers are started last, because a portal must be listening to receive the
        announcements of their services.
        """
        programs = self.programs()
        inference = programs.inference.launch(self._variables_of("dss-inference"))
        portal = programs.portal.launch(self._variables_of("dss-portal"))
        self._wait(programs.portal, portal, report)
        own = self._variables_of("dss-dispatch")
        dispatchers = [(program, program.launch(own)) for program in programs.dispatchers]
        for program, process in [*dispatchers, (programs.inference, inference)]:
            self._wait(program, process, report)

    @staticmethod
    def _wait(program: Program, process: psutil.Process, report: Report) -> None:
        program.wait(process)
        report(program.name)

    def _server_parts(self) -> list[ProcessState]:
        addresses = {
            "rabbitmq": self.rabbit.console_url,
            "postgres": self.postgres.address,
            "prometheus": self.prometheus.url,
        }
        metrics = {"rabbitmq": self.rabbit.metrics}
        return [
            ProcessState(
                name=name,
                process=(process := server.process),
                healthy=process is not None and server.ready(),
                address=addresses[name],
                metrics=metrics.get(name, ""),
            )
            for name, server in self._servers().items()
        ]

    def _program_parts(self) -> list[ProcessState]:
        return [state_of(program) for program in reversed(self.programs().in_stop_order)]
