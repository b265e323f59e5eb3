"""Installs packages of Debian and Ubuntu: with apt-get as root, otherwise by unpacking them into a folder."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dss_stack.bootstrap.command_runner import CommandRunner
from dss_stack.errors import StackError

_QUIET = {"DEBIAN_FRONTEND": "noninteractive"}

_APT = ("apt-get", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300")

_UNITS = Path("/lib/systemd/system")

_SERVICES = (
    "rabbitmq-server.service",
    "epmd.service",
    "epmd.socket",
    "postgresql.service",
    "prometheus.service",
)

_MARK = "# Written by the DSS bootstrap for as long as it installs; may be deleted.\n"

_POLICY = Path("/usr/sbin/policy-rc.d")
"""Script that Debian's packages run before they start a service: exit status 101 forbids it."""

_NO_CLUSTER = Path("/etc/postgresql-common/createcluster.d/dss-bootstrap.conf")


def install(runner: CommandRunner, packages: Sequence[str]) -> None:
    """Install ``packages`` with apt-get; needs root.  Starts and enables no service, and creates no database cluster.
    Raises StackError if apt-get is missing or fails.
    """
    _require_apt(packages)
    purpose = f"Installing {_listed(packages)}"
    services_before = _known_services()
    with _no_services():
        for step in (
            ["dpkg", "--configure", "-a"],
            [*_APT, "update"],
            [*_APT, "install", *packages],
        ):
            runner.run(step, purpose=purpose, environment=_QUIET)
    for service in _known_services() - services_before:
        runner.run(["systemctl", "disable", service], purpose=purpose)


def unpack(runner: CommandRunner, packages: Sequence[str], sysroot: Path) -> None:
    """Unpack ``packages`` and their dependencies into the folder ``sysroot``, as if it were the root directory; needs
    no root.

    Packages that the machine already has are not downloaded; earlier contents of ``sysroot`` stay.  Raises StackError
    if apt-get is missing or fails.
    """
    _require_apt(packages)
    purpose = f"Fetching {_listed(packages)}"
    fresh = sysroot.with_name(f"{sysroot.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    if sysroot.exists():
        shutil.copytree(sysroot, fresh, symlinks=True, copy_function=os.link)
    with _private_apt(sysroot.with_name("apt")) as apt:
        runner.run([*apt, "update"], purpose=purpose)
        runner.run([*apt, "--download-only", "install", *packages], purpose=purpose)
        for archive in sorted(sysroot.with_name("apt").glob("archives/*.deb")):
            runner.run(["dpkg", "-x", str(archive), str(fresh)], purpose=purpose)
    _move_erlang(fresh, sysroot)
    shutil.rmtree(sysroot, ignore_errors=True)
    fresh.rename(sysroot)


def pip_wheel(runner: CommandRunner, folder: Path) -> Path:
    """Get pip for a machine whose Python lacks it: install the Debian package python3-pip-whl and return the path of
    the wheel in it, which Python can run.

    Without root, the package is unpacked into ``folder``.  Raises StackError if apt-get is missing or fails.
    """
    package = "python3-pip-whl"
    if os.geteuid() == 0:
        install(runner, [package])
        root = Path("/")
    else:
        unpack(runner, [package], folder)
        root = folder
    return next(root.glob("usr/share/python-wheels/pip-*.whl"))


def _require_apt(packages: Sequence[str]) -> None:
    if shutil.which("apt-get") is None:
        raise StackError(
            f"Missing on this machine: {_listed(packages)} (names of Debian packages). There is no "
            "apt-get to install them with; please install them, then call make again."
        )


def _listed(packages: Sequence[str]) -> str:
    return " and ".join(packages)


@contextmanager
def _no_services() -> Iterator[None]:
    """A context in which apt-get starts no service and creates no database cluster.  An existing policy-rc.d stays; the
    files that we wrote for this are removed at the end.
    """
    _remove_leftovers()
    if not _POLICY.exists():
        _POLICY.write_text(f"#!/bin/sh\n{_MARK}exit 101\n", encoding="utf-8")
        _POLICY.chmod(0o755)
    _NO_CLUSTER.parent.mkdir(parents=True, exist_ok=True)
    _NO_CLUSTER.write_text(f"{_MARK}create_main_cluster = false\n", encoding="utf-8")
    try:
        yield
    finally:
        _remove_leftovers()


def _remove_leftovers() -> None:
    for file in (_POLICY, _NO_CLUSTER):
        if file.exists() and _MARK in file.read_text(encoding="utf-8"):
            file.unlink()


def _known_services() -> set[str]:
    """Those of _SERVICES whose packages are installed already, so that they are left as they are; none without
    systemd.
    """
    if shutil.which("systemctl") is None:
        return set()
    return {name for name in _SERVICES if (_UNITS / name).exists()}


@contextmanager
def _private_apt(folder: Path) -> Iterator[list[str]]:
    """A context with the words of an apt-get command that reads the machine's list of installed packages, and writes
    only to ``folder``, which is emptied before and removed afterwards.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("lists/partial", "archives/partial"):
        (folder / name).mkdir(parents=True)
    options = {
        "Dir::State::lists": f"{folder}/lists",
        "Dir::Cache": str(folder),
        "Dir::Cache::archives": f"{folder}/archives",
        "Debug::NoLocking": "true",
    }
    yield [*_APT, *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
    shutil.rmtree(folder)


def _move_erlang(fresh: Path, sysroot: Path) -> None:
    """Set the root directory in the start scripts of the Erlang in ``fresh`` to ``sysroot``, its later place; no
    environment variable overrides it.

    There are two scripts: one for users, and one that Erlang runs to start its port mapper.
    """
    erlang = "usr/lib/erlang"
    for script in fresh.glob(f"{erlang}/**/bin/erl"):
        text = script.read_text(encoding="utf-8")
        script.write_text(
            text.replace(f"ROOTDIR=/{erlang}", f"ROOTDIR='{sysroot}/{erlang}'"), encoding="utf-8"
        )
