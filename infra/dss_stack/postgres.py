"""A private PostgreSQL cluster of the local stack or of a test: a real server on loopback, with its data in a folder."""

import os
import shutil
import signal
import subprocess
from functools import cached_property
from pathlib import Path

import psutil

from dss_stack import processes
from dss_stack.errors import StartFailed
from dss_stack.ports import LOOPBACK, choose_ports, is_free
from dss_stack.privileges import RunAs, postgres_run_as
from dss_stack.servers import Programs, find_postgres
from dss_stack.stored_facts import Facts, store_facts, stored_facts, write_private

_USER = "dss"
_DATABASE = "dss"
_PORTS = ("postgres",)
_START_TIMEOUT_S = 60
_STOP_TIMEOUT_S = 30
_COMMAND_TIMEOUT_S = 120


class PostgresCluster:
    """Controls the PostgreSQL cluster whose files are in ``folder``.  Objects with the same folder control the same
    cluster.

    ``sysroot`` is a folder with unpacked packages, for machines where PostgreSQL is not installed.  If ``durable`` is
    False, nothing is synced to the disk: the data survive a killed server, but not a power failure.
    """

    def __init__(self, folder: Path, *, sysroot: Path | None = None, durable: bool = True) -> None:
        self._folder = folder.resolve()
        self.sysroot = sysroot
        self._durable = durable
        self._data = self._folder / "data"
        self.log = self._folder / "postgres.log"

    @property
    def database_url(self) -> str:
        password = self._facts["secret"]
        return f"postgres://{_USER}:{password}@{LOOPBACK}:{self._port}/{_DATABASE}"

    @property
    def address(self) -> str:
        """The server's address (host:port), without the password."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def process(self) -> psutil.Process | None:
        """The postmaster's process (the server's main process), whether or not it is ready; None if it does not run."""
        own = self._processes()
        pids = {process.pid for process in own}
        return next((p for p in own if p.ppid() not in pids), None)

    @property
    def running(self) -> bool:
        return self.process is not None

    def ready(self) -> bool:
        """True if clients may connect."""
        return self._run("pg_isready", "-h", LOOPBACK, "-p", str(self._port)).returncode == 0

    def start(self) -> None:
        """Start the cluster, and return when it accepts clients; at once if it does already.  The first start creates
        it.

        What a killed start has left is repaired; if another program uses the port, another one is chosen.  Raises
        ServerMissing, StartFailed.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        if not self._data.exists():
            self._initialise()
        process = self.process or self._launch()
        processes.wait_until_ready(
            "PostgreSQL", self.ready, process=process, log=self.log, timeout_s=_START_TIMEOUT_S
        )
        self._make_database()

    def stop(self) -> None:
        """Disconnect every client and return when the cluster has ended.  It is killed if that takes longer than
        _STOP_TIMEOUT_S.
        """
        if (process := self.process) is not None:
            processes.end(process, signal=signal.SIGINT, timeout_s=_STOP_TIMEOUT_S)

    def kill(self) -> None:
        """End the cluster at once, as a power failure would."""
        own = self._processes()
        if (process := self.process) is not None:
            processes.end(process, signal=signal.SIGKILL, timeout_s=_STOP_TIMEOUT_S)
        processes.wait_for_end(own, _STOP_TIMEOUT_S)

    @cached_property
    def _programs(self) -> Programs:
        return find_postgres(self.sysroot)

    @cached_property
    def _run_as(self) -> RunAs:
        return postgres_run_as()

    @property
    def _facts(self) -> Facts:
        return stored_facts(self._folder / "cluster.json", _PORTS)

    @property
    def _port(self) -> int:
        return self._facts["ports"]["postgres"]

    def _processes(self) -> list[psutil.Process]:
        return processes.working_in(self._data, "postgres")

    def _initialise(self) -> None:
        """Create the cluster in a temporary folder and rename it, so that an incomplete one is never used.  Raises
        StartFailed.
        """
        fresh = self._folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        password = self._folder / "password"
        write_private(password, self._facts["secret"])
        for path in (fresh, password):
            os.chown(path, self._run_as.owner, -1)
        where = (f"--pgdata={fresh}", f"--username={_USER}", f"--pwfile={password}")
        how = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums")
        sync = () if self._durable else ("--no-sync",)
        done = self._run("initdb", *where, *how, *sync, prefix=self._run_as.prefix)
        password.unlink()
        if done.returncode != 0:
            raise StartFailed(f"PostgreSQL could not make its cluster:\n{done.stderr}")
        fresh.rename(self._data)

    def _launch(self) -> psutil.Process:
        """Start the server.  A left-over postmaster.pid is removed first, because PostgreSQL would take the process
        number in it for that of a running server.
        """
        processes.wait_for_end(self._processes(), _STOP_TIMEOUT_S)
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        self._take_free_port()
        self._hand_over_files()
        return processes.launch(
            [*self._run_as.prefix, self._programs.path("postgres"), *self._options()],
            folder=self._folder,
            log=self.log,
            environment=self._programs.environment,
        )

    def _options(self) -> list[str]:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self._port),
            "unix_socket_directories": "",  # TCP only: a socket's path is limited to 107 bytes
            "max_connections": "200",
            "log_min_duration_statement": "500",
            "fsync": "on" if self._durable else "off",
        }
        return ["-D", str(self._data), *(f"--{name}={value}" for name, value in settings.items())]

    def _take_free_port(self) -> None:
        facts = self._facts
        if not is_free(self._port):
            facts["ports"] = choose_ports(_PORTS)
            store_facts(self._folder / "cluster.json", facts)

    def _hand_over_files(self) -> None:
        """Make the user that runs the server the owner of the files, because PostgreSQL refuses others."""
        if self._data.stat().st_uid == self._run_as.owner:
            return
        for path in (self._data, *self._data.rglob("*")):
            os.chown(path, self._run_as.owner, -1, follow_symlinks=False)

    def _make_database(self) -> None:
        """Create the database unless an earlier start has done so."""
        known = self._query("select count(*) from pg_database where datname = 'dss'")
        if known == "0":
            self._query("create database dss")

    def _query(self, statement: str) -> str:
        """The result of ``statement`` in the database ``postgres``, which every cluster has.  Raises StartFailed."""
        where = f"host={LOOPBACK} port={self._port} user={_USER} dbname=postgres"
        done = self._run("psql", "--no-psqlrc", "-tAc", statement, where)
        if done.returncode != 0:
            raise StartFailed(f"PostgreSQL refused to make the database:\n{done.stderr}")
        return done.stdout.strip()

    def _run(
        self, program: str, *arguments: str, prefix: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*prefix, self._programs.path(program), *arguments],
            env=self._programs.environment | {"PGPASSWORD": self._facts["secret"]},
            cwd=self._folder,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=_COMMAND_TIMEOUT_S,
        )
