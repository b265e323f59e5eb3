"""Installs a Debian of another release into a folder, so that tests can use other versions of RabbitMQ or a fresh
machine.

``python -m dss_stack.debian_root trixie FOLDER [PACKAGE ...]``, as root; needs ``debootstrap``.  A complete folder is
kept.  Packages come from ``DSS_DEBIAN_MIRROR``, by default from the source of this machine's apt.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from dss_stack.errors import ServerMissing
from dss_stack.ports import LOOPBACK

PACKAGES = ("rabbitmq-server",)

_SCRIPTS = Path("/usr/share/debootstrap/scripts")
_COMPLETE = "complete"
_REPOSITORIES = ("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages")


def make(release: str, root: Path, packages: Sequence[str] = PACKAGES) -> None:
    """Install ``release`` with ``packages`` into ``root``, unless an earlier call has done so completely.

    Raises ServerMissing, with what is needed, if that is impossible here.
    """
    root = root.absolute()
    if (root / _COMPLETE).exists():
        return
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise ServerMissing(
            f"Debian {release} cannot be unpacked here: that takes root and the package debootstrap."
        )
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    options = ["--variant=minbase", f"--include={','.join(packages)}"]
    script = [] if (_SCRIPTS / release).exists() else [str(_SCRIPTS / "sid")]
    done = subprocess.run(
        ["debootstrap", *options, release, str(root), _mirror(), *script], check=False
    )
    if done.returncode:
        raise ServerMissing(f"debootstrap could not make Debian {release}: see above.")
    (root / "etc/hosts").write_text(f"{LOOPBACK} localhost\n", encoding="utf-8")
    _same_paths_within(root)
    (root / _COMPLETE).touch()


def _same_paths_within(root: Path) -> None:
    """Make each path below ``root`` lead to the same file inside a chroot to ``root``, by a symbolic link in ``root``."""
    inner = root / root.relative_to("/")
    inner.parent.mkdir(parents=True, exist_ok=True)
    inner.symlink_to("/")


def _mirror() -> str:
    """Address of the Debian mirror.  Raises ServerMissing if neither DSS_DEBIAN_MIRROR nor this machine's apt names
    one.
    """
    if named := os.environ.get("DSS_DEBIAN_MIRROR"):
        return named
    done = subprocess.run(_REPOSITORIES, check=False, capture_output=True, encoding="utf-8")
    main_ones = [uri for uri in done.stdout.split() if uri.rstrip("/").endswith("/debian")]
    if not main_ones:
        raise ServerMissing("apt-get names no mirror of Debian; set DSS_DEBIAN_MIRROR to one.")
    return main_ones[0]


def main(release: str, folder: str, *packages: str) -> None:
    """Install ``release`` into ``folder``.  Exits with a sentence if that is impossible."""
    try:
        make(release, Path(folder), packages or PACKAGES)
    except ServerMissing as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
