"""Finds the executables of RabbitMQ, PostgreSQL and Prometheus: those of the machine, or unpacked into a folder."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dss_stack.errors import ServerMissing

MACHINE = Path("/")
"""Root folder under which the machine's own packages are installed."""

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


_IN_CHROOT = 'mount --rbind /proc "$0/proc" && exec chroot "$0" env --chdir="$@"'
"""Shell command that runs a program in the chroot ``$0`` and the folder ``$1``, with /proc, from which Erlang reads the
memory size.  ``unshare`` gives it a mount namespace of its own, so that no mount remains.
"""


@dataclass(frozen=True, kw_only=True)
class Programs:
    """The executables of a server.  ``folder`` contains them; ``environment`` are the variables that they need to run.

    ``chroot`` is the root of another system in which they run; then ``folder`` is a path inside it.
    """

    folder: Path
    environment: dict[str, str]
    chroot: Path | None = None

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def within(self, folder: Path) -> list[str]:
        """The words to put before a command so that it runs inside ``chroot``, in ``folder``, which must have the same
        path there. [] without a chroot.
        """
        if self.chroot is None:
            return []
        return ["unshare", "--mount", "sh", "-c", _IN_CHROOT, str(self.chroot), str(folder)]


def find_rabbitmq(sysroot: Path | None = None) -> Programs:
    """RabbitMQ's own scripts.  The wrappers on the PATH are not used, because they require the user ``rabbitmq``.

    ``sysroot`` is a folder with unpacked packages; it is searched after the machine's own folders.  Raises
    ServerMissing if RabbitMQ is in neither.
    """
    for root in _roots(sysroot):
        folder = root / "usr/lib/rabbitmq/bin"
        if (folder / "rabbitmq-server").exists() and (root / "usr/lib/erlang/bin/erl").exists():
            return Programs(folder=folder, environment=_environment(root))
    raise ServerMissing(
        "RabbitMQ is not installed: install the package rabbitmq-server, or set DSS_AMQP_URL to a "
        "server that exists."
    )


def rabbitmq_within(root: Path) -> Programs:
    """The RabbitMQ of another system with the root folder ``root``.  It runs in a chroot, because its Erlang needs that
    system's C library.  Raises ServerMissing.
    """
    folder = Path("usr/lib/rabbitmq/bin")
    if not (root / folder / "rabbitmq-server").exists():
        raise ServerMissing(f"There is no RabbitMQ in {root}: make it with dss_stack.debian_root.")
    return Programs(folder=MACHINE / folder, environment=_environment(MACHINE), chroot=root)


def find_postgres(sysroot: Path | None = None) -> Programs:
    """The newest PostgreSQL of Debian's packages on the machine; otherwise that of ``sysroot``, a folder with unpacked
    packages; otherwise the one on the PATH.  Raises ServerMissing.
    """
    for root in _roots(sysroot):
        folders = [f.parent for f in root.glob("usr/lib/postgresql/*/bin/initdb")]
        if folders:
            newest = max(folders, key=lambda folder: float(folder.parent.name))
            return Programs(folder=newest, environment=_environment(root))
    on_path = shutil.which("initdb")
    if on_path:
        return Programs(folder=Path(on_path).resolve().parent, environment=_environment(MACHINE))
    raise ServerMissing(
        "PostgreSQL is not installed: install the package postgresql, or set DSS_DATABASE_URL to a "
        "server that exists."
    )


def find_prometheus(sysroot: Path | None = None) -> Programs:
    """The Prometheus in the machine's /usr/bin; otherwise that of ``sysroot``, a folder with unpacked packages;
    otherwise the one on the PATH.  Raises ServerMissing.
    """
    for root in _roots(sysroot):
        if (root / "usr/bin/prometheus").exists():
            return Programs(folder=root / "usr/bin", environment=_environment(root))
    on_path = shutil.which("prometheus")
    if on_path:
        return Programs(folder=Path(on_path).parent, environment=_environment(MACHINE))
    raise ServerMissing("Prometheus is not installed: install the package prometheus.")


def _roots(sysroot: Path | None) -> Iterator[Path]:
    yield MACHINE
    if sysroot is not None:
        yield sysroot.absolute()


def _environment(root: Path) -> dict[str, str]:
    """The environment variables for a server under ``root``.  The caller's variables are not included, so that the
    server does not depend on them.
    """
    environment = {"PATH": _SYSTEM_PATH, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    if root != MACHINE:
        libraries = [str(folder) for folder in root.glob("usr/lib/*-linux-gnu")]
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(libraries)
        environment["PATH"] = f"{root}/usr/lib/erlang/bin:{root}/usr/bin:{_SYSTEM_PATH}"
    return environment
