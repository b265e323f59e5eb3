"""A real OpenID Connect provider (``tests/openid``) on this machine."""

import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conftest import missing
from support.stacks import free_port

SOURCE = Path(__file__).parents[1] / "openid"
SECRET = secrets.token_hex(16)
CLIENT = "dss"


@contextmanager
def issuing(callback: str) -> Iterator[str]:
    """The address of a provider that knows CLIENT with SECRET, and leads back to ``callback``."""
    folder = _installed()
    port = free_port()
    command = ["node", "provider.mjs", str(port), SECRET, callback]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8"
    ) as provider:
        assert provider.stdout is not None
        assert any("ready" in line for line in provider.stdout)
        yield f"http://127.0.0.1:{port}"
        provider.terminate()


def _installed() -> Path:
    """A folder with the provider and what it needs; made once for each machine."""
    folder = Path(tempfile.gettempdir()) / "dss-oidc-provider-9.13.3"
    if shutil.which("npm") is None:
        missing("npm is needed for the OpenID Connect provider.")
    folder.mkdir(exist_ok=True)
    for file in SOURCE.iterdir():
        shutil.copy(file, folder)
    if not (folder / "node_modules" / "oidc-provider").exists():
        words = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"]
        subprocess.run(words, cwd=folder, check=True, timeout=240)
    return folder
