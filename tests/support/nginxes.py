"""A real nginx in front of something, with the faults that sites have."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from conftest import missing
from support.stacks import free_port
from support.waiting import wait_until

_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@contextmanager
def nginx(folder: Path, server: str, *, tls: str = "") -> Iterator[str]:
    """The address of an nginx whose ``server`` block has these lines; with ``tls`` (certificate lines) for https."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    if program is None:
        missing("nginx is not installed.")
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    places = "\n".join(f"{name}_temp_path {folder}/{name};" for name in _TEMPORARY)
    listens = f"listen 127.0.0.1:{port}{' ssl' if tls else ''}; {tls}"
    (folder / "nginx.conf").write_text(
        f"pid {folder}/pid; error_log {folder}/error.log; events {{ worker_connections 64; }}\n"
        f"http {{ access_log off; {places}\nserver {{ {listens}\n{server} }} }}",
        encoding="utf-8",
    )
    options = ["-p", str(folder), "-c", str(folder / "nginx.conf")]
    with subprocess.Popen(
        [program, *options, "-g", "daemon off; master_process off;"], stderr=subprocess.DEVNULL
    ) as running:
        try:
            wait_until(lambda: _listens(port))
            yield f"http{'s' if tls else ''}://127.0.0.1:{port}"
        finally:
            running.terminate()


def _listens(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}", trust_env=False)
    except httpx.TransportError:
        return False
    return True


def passed_to(portal: str, extra: str = "", at: str = "/") -> str:
    """A location that passes requests on to ``portal``."""
    return f"location {at} {{ proxy_pass {portal}; proxy_set_header Host $http_host; {extra} }}"
