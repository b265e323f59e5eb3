"""The reference server, itksnap-dss-server of PyPI, with a service of our own and its provider's side."""

import json
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import missing
from dss_client.tables import read_table
from support import loopback

REQUIREMENT = "itksnap-dss-server==0.2.0"
PROVIDER = "hospital"
SERVICE: dict[str, Any] = {
    "name": "lung-segmentation",
    "version": "1.0.0",
    "shortdesc": "Lungs",
    "longdesc": "Left and right lung.",
    "url": "",
    "tags": [{"name": "CT", "type": "MainImage", "hint": "A chest CT", "required": True}],
}

# Its own command listens on all interfaces; this one on loopback, on a port that it prints.
_PROGRAM = """
from cheroot import wsgi
from itksnap_dss_server.app import application
server = wsgi.Server(("127.0.0.1", 0), application)
server.prepare()
print(server.bind_addr[1], flush=True)
server.serve()
"""


def installed(requirement: str = REQUIREMENT) -> Path:
    """The interpreter of an environment with that package of PyPI, made once for each machine."""
    try:
        return _install(requirement)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        missing(f"{requirement} cannot be installed; pip needs a package index.")


def _install(requirement: str) -> Path:
    folder = Path(tempfile.gettempdir()) / requirement.replace("==", "-")
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", requirement]
        subprocess.run(pip, check=True, timeout=240)
        (folder / "complete").touch()
    return python


@contextmanager
def running(python: Path, folder: Path, *, one_user: bool = True) -> Iterator[str]:
    """Its address.  With ``one_user`` everybody is a sysadmin; else only who is enrolled gets in."""
    with running_with_pid(python, folder, one_user=one_user) as (address, _):
        yield address


@contextmanager
def running_with_pid(
    python: Path, folder: Path, *, one_user: bool = True
) -> Iterator[tuple[str, int]]:
    """Its address, as ``running`` tells it, and its process."""
    scratch = folder / "tmp"  # it leaves its copies of git repositories there
    scratch.mkdir(exist_ok=True)
    variables = {"ALFABIS_COOKIE_DOMAIN": "", "PATH": "/usr/bin:/bin", "TMPDIR": str(scratch)}
    if one_user:
        variables["ALFABIS_NOAUTH"] = "1"
    with (
        (folder / "server.log").open("wb") as errors,
        subprocess.Popen(
            [str(python), "-c", _PROGRAM],
            cwd=folder,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
        ) as server,
    ):
        try:
            yield f"http://127.0.0.1:{_port(server)}", server.pid
        finally:
            server.terminate()
            server.wait(10)


def enroll(folder: Path, email: str, token: str, *, sysadmin: bool = False) -> None:
    """Make a user of the server that runs in ``folder``, with a token for one sign-in."""
    database = sqlite3.connect(folder / "datastore" / "alfabis.sqlite3", timeout=10)
    database.execute(
        "INSERT INTO users (email, passwd, dispname, sysadmin) VALUES (?, ?, ?, ?)",
        (email, token, email, sysadmin),
    )
    database.commit()
    database.close()


def _port(server: "subprocess.Popen[str]") -> int:
    assert server.stdout is not None
    for line in server.stdout:  # the first may tell of a new database
        if line.strip().isdigit():
            return int(line)
    raise AssertionError("The reference server ended before it listened.")


@dataclass(frozen=True, kw_only=True)
class Provider:
    """The provider's and the administrator's side, played with plain httpx."""

    http: httpx.Client
    githash: str

    def claim(self) -> int:
        """The number of the ticket that waits longest."""
        body = {"services": self.githash, "provider": PROVIDER, "code": "test"}
        return int(read_table(self._post("/api/pro/services/claims", body))[0][0])

    def log(self, ticket: int, category: str, message: str) -> None:
        self._post(f"/api/pro/tickets/{ticket}/{category}", {"message": message})

    def progress(self, ticket: int, share: float) -> None:
        chunk = {"chunk_start": "0", "chunk_end": "1", "progress": str(share)}
        self._post(f"/api/pro/tickets/{ticket}/progress", chunk)

    def finish(self, ticket: int, status: str) -> None:
        self._post(f"/api/pro/tickets/{ticket}/status", {"status": status})

    def inputs(self, ticket: int) -> dict[str, bytes]:
        """By file name."""
        area = f"/api/pro/tickets/{ticket}/files/input"
        rows = read_table(self._good(self.http.get(area)).text)
        return {name: self._good(self.http.get(f"{area}/{i}")).content for i, name in rows}

    def give(self, ticket: int, files: dict[str, bytes]) -> None:
        """Upload results."""
        for name, content in files.items():
            path = f"/api/pro/tickets/{ticket}/files/results"
            self._good(self.http.post(path, files={"myfile": (name, content)}))

    def token(self) -> str:
        """For one sign-in."""
        return self._good(self.http.get("/api/token")).text

    def _post(self, path: str, body: dict[str, str]) -> str:
        return self._good(self.http.post(path, data=body)).text

    @staticmethod
    def _good(answer: httpx.Response) -> httpx.Response:
        assert answer.status_code == 200, answer.text
        return answer


def register(http: httpx.Client, folder: Path) -> Provider:
    """A provider with the service, from a Git repository made in ``folder``."""
    admin = "/api/admin/providers"
    http.post(admin, data={"name": PROVIDER}).raise_for_status()
    who = {"email": "test@example.com", "admin": "1"}
    http.post(f"{admin}/{PROVIDER}/users", data=who).raise_for_status()
    return Provider(http=http, githash=add_service(http, folder, SERVICE))


def add_service(http: httpx.Client, folder: Path, service: object) -> str:
    """Its githash.  Another service of the provider, from a Git repository made in ``folder``."""
    commit(folder, service)
    source = {"repo": str(folder), "ref": "main"}
    path = f"/api/admin/providers/{PROVIDER}/services"
    return http.post(path, data=source).raise_for_status().text


def commit(folder: Path, descriptor: object, name: str = "service.json") -> None:
    """Make ``folder`` a Git repository with that one file on branch main."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(descriptor), encoding="utf-8")
    author = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "Service"]):
        subprocess.run(["git", *author, *words], cwd=folder, check=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "reference"
    folder.mkdir()
    with running(installed(), folder) as address:
        yield address


@pytest.fixture
def provider(server: str, tmp_path: Path) -> Iterator[Provider]:
    repository = tmp_path / "service"
    repository.mkdir()
    with loopback.client(base_url=server, timeout=30) as http:
        yield register(http, repository)
