"""``make up`` on a fresh Debian of each release, in a root of its own: what a newcomer does first.

``make test-setup``, as root; needs ``debootstrap``.  ``RELEASES="bookworm trixie"`` chooses.  pip's settings of this machine
(``PIP_*``) hold inside, and so does ``DSS_TORCH_CPU``; folders that they name are there under the same path.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dss_stack import debian_root

CHECKOUT = Path(__file__).resolve().parents[2]
STATE = Path(os.environ.get("DSS_STATE", CHECKOUT / ".dss")).absolute() / "fresh"
PACKAGES = ("make", "python3", "ca-certificates")
INSIDE = "/root/dss"
HANDED_ON = ("PIP_", "DSS_TORCH_CPU", "SSL_CERT_FILE", "http_proxy", "https_proxy")
DEVICES = ("/proc", "/sys", "/dev")


def main() -> int:
    releases = os.environ.get("RELEASES", "bookworm trixie").split()
    failed = [release for release in releases if not _works(release)]
    print(f"{len(releases) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def _works(release: str) -> bool:
    """Set up, start, send the sample, look at the state, stop: each must end well."""
    root = STATE / release
    debian_root.make(release, root, PACKAGES)
    _copy_checkout(root / INSIDE.lstrip("/"))
    with _mounted(root):
        began_s = time.monotonic()
        worked = _run(root, "make up") and _run(root, "make status")
        print(f"{release}: make up took {time.monotonic() - began_s:.0f} s", flush=True)
        _run(root, "du -sh .venv")
        return _run(root, "make stop") and worked


def _copy_checkout(target: Path) -> None:
    """What is committed, and nothing that lies beside it."""
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", CHECKOUT, target], check=True)


@contextmanager
def _mounted(root: Path) -> Iterator[None]:
    """The devices, and each folder that a setting names, under their own paths."""
    (root / "etc/resolv.conf").write_bytes(Path("/etc/resolv.conf").read_bytes())
    with ExitStack() as mounts:
        for place in (*DEVICES, *_folders()):
            target = root / place.lstrip("/")
            if Path(place).is_dir():
                target.mkdir(parents=True, exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.touch()
            subprocess.run(["mount", "--bind", place, target], check=True)
            mounts.callback(_unmount, target)
        yield


def _unmount(target: Path) -> None:
    subprocess.run(["umount", "--lazy", target], check=True)


def _folders() -> list[str]:
    named = [value for name, value in _handed_on().items() if name != "PATH"]
    return sorted({word for value in named for word in value.split() if Path(word).exists()})


def _handed_on() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(HANDED_ON)}


def _run(root: Path, command: str) -> bool:
    print(f"$ {command}", flush=True)
    environment = _handed_on() | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
    inside = ["chroot", str(root), "/bin/sh", "-c", f"cd {INSIDE} && {command}"]
    return subprocess.run(inside, env=environment, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
