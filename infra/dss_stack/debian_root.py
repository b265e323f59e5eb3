"""A Debian of another release in a folder, with its RabbitMQ: to test with brokers that this machine has not.

``python -m dss_stack.debian_root trixie FOLDER``, as root; needs ``debootstrap``.  What is there is kept.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from dss_stack.errors import ServerMissing
from dss_stack.ports import LOOPBACK

PACKAGES = ("rabbitmq-server",)

_SCRIPTS = Path("/usr/share/debootstrap/scripts")
_COMPLETE = "complete"
_DEBIAN = "http://deb.debian.org/debian"


def make(release: str, root: Path, mirror: str = _DEBIAN) -> None:
    """Return when ``root`` holds ``release`` with PACKAGES; at once if it does already.

    Raises ServerMissing, with what is needed, if it cannot be made here.
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
    options = ["--variant=minbase", f"--include={','.join(PACKAGES)}"]
    script = [] if (_SCRIPTS / release).exists() else [str(_SCRIPTS / "sid")]
    done = subprocess.run(
        ["debootstrap", *options, release, str(root), mirror, *script], check=False
    )
    if done.returncode:
        raise ServerMissing(f"debootstrap could not make Debian {release}: see above.")
    (root / "etc/hosts").write_text(f"{LOOPBACK} localhost\n")
    _same_paths_within(root)
    (root / _COMPLETE).touch()


def _same_paths_within(root: Path) -> None:
    """A path below ``root`` leads to the same file for a program whose root that is."""
    inner = root / root.relative_to("/")
    inner.parent.mkdir(parents=True, exist_ok=True)
    inner.symlink_to("/")


def main(release: str, folder: str) -> None:
    try:
        make(release, Path(folder), os.environ.get("DSS_DEBIAN_MIRROR", _DEBIAN))
    except ServerMissing as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
