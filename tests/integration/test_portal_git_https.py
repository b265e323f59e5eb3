"""Services from repositories behind https: Git's own server and a mere folder of files, with an own authority."""

import json
import os
import ssl
import subprocess
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from quart.typing import TestClientProtocol as Client

from support.portals import DESCRIPTOR, Portal, post, text

pytestmark = pytest.mark.stack

SERVICES = "/api/admin/providers/lab/services"
AUTHOR = ("-c", "user.name=a", "-c", "user.email=a@b")
DAY = timedelta(days=1)


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout.strip()


def _commit(folder: Path, version: str) -> str:
    """The hash of a commit that describes this version."""
    (folder / "service.json").write_text(
        json.dumps({**DESCRIPTOR, "version": version}), encoding="utf-8"
    )
    _git(folder, "add", ".")
    _git(folder, *AUTHOR, "commit", "--quiet", "-m", version)
    return _git(folder, "rev-parse", "HEAD")


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey
) -> bytes:
    """PEM; an authority's if it is its own issuer, else one for 127.0.0.1."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)])
    now, number = datetime.now(UTC), x509.random_serial_number()
    built = x509.CertificateBuilder(signer, subject, key.public_key(), number)
    built = built.not_valid_before(now - DAY).not_valid_after(now + DAY)
    is_authority = name == issuer
    built = built.add_extension(x509.BasicConstraints(is_authority, None), critical=True)
    if not is_authority:
        address = x509.DNSName("localhost")
        built = built.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return built.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The authority's certificate, and a server's certificate with its key."""
    folder = tmp_path_factory.mktemp("tls")
    key, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    (folder / "ca.pem").write_bytes(_certificate("site", key, "site", key))
    private = own.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "server.pem").write_bytes(private + _certificate("server", own, "site", key))
    return folder / "ca.pem", folder / "server.pem"


class Files(SimpleHTTPRequestHandler):
    """A repository as mere files."""

    def log_message(self, *_: object) -> None:
        pass


class Backend(Files):
    """Git's own server, by CGI."""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": self.directory,
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=environment, capture_output=True, check=True
        )
        head, _, answer = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_POST(self) -> None:
        self.do_GET()


class Private(Backend):
    """A repository for the user ann, whose password the portal reads from a file."""

    def do_GET(self) -> None:
        given = f"Basic {b64encode(b'ann:to%ken').decode()}"
        if self.headers.get("Authorization") == given:
            super().do_GET()
            return
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def _served(folder: Path, handler: type[Files], certificate: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder))) as server:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"https://localhost:{server.server_port}/repo/.git"
        server.shutdown()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two versions; the older one has a tag."""
    folder = tmp_path / "git" / "repo"
    folder.mkdir(parents=True)
    _git(folder, "init", "--quiet", "--initial-branch=main")
    _commit(folder, "1.0.0")
    _git(folder, "tag", "v1")
    _commit(folder, "2.0.0")
    _git(folder, "update-server-info")
    return folder


@pytest.fixture(params=[Backend, Files])
def address(
    request: pytest.FixtureRequest, repository: Path, authority: tuple[Path, Path]
) -> Iterator[str]:
    with _served(repository.parent, request.param, authority[1]) as found:
        yield found


@pytest.fixture
async def root(portal: Portal) -> Client:
    client = await portal.user("root@example.com", sysadmin=True)
    await post(client, "/api/admin/providers", name="lab")
    return client


@pytest.fixture
def trusting(portal: Portal, authority: tuple[Path, Path]) -> None:
    portal.settings.__dict__["git_ca_file"] = str(authority[0])


@pytest.mark.usefixtures("trusting")
async def test_a_branch_a_tag_and_a_commit_are_registered_over_https(
    root: Client, repository: Path, address: str
) -> None:
    newest, tagged = _git(repository, "rev-parse", "main"), _git(repository, "rev-parse", "v1")

    assert await post(root, SERVICES, repo=address, ref="main") == (200, newest)
    assert await post(root, SERVICES, repo=address, ref="") == (200, newest)
    assert await post(root, SERVICES, repo=address, ref="v1") == (200, tagged)
    assert await post(root, SERVICES, repo=address, ref=newest) == (200, newest)
    assert await post(root, SERVICES, repo=address, ref="nothing") == (
        400,
        "Error fetching Git repository",
    )
    listed = await text(root, "/api/services")
    assert [row.split(",")[1:3] for row in listed.splitlines()] == [
        [newest, "2.0.0"],
        [tagged, "1.0.0"],
    ]


async def test_an_authority_that_is_not_known_is_told_by_name(root: Client, address: str) -> None:
    status, said = await post(root, SERVICES, repo=address, ref="main")

    assert status == 400
    assert said == (
        "Error fetching Git repository: its server's certificate is not trusted here; "
        "DSS_GIT_CA_FILE can name the certificate of its authority."
    )


@pytest.mark.usefixtures("trusting")
async def test_the_way_out_leads_through_the_site_s_proxy(
    root: Client, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody is there

    assert await post(root, SERVICES, repo=address, ref="main") == (
        400,
        "Error fetching Git repository",
    )


@pytest.mark.usefixtures("trusting")
async def test_a_private_repository_is_read_with_the_credentials_of_a_file(
    root: Client, portal: Portal, repository: Path, authority: tuple[Path, Path], tmp_path: Path
) -> None:
    newest = _git(repository, "rev-parse", "main")
    file = tmp_path / "git's credentials"
    portal.settings.__dict__["git_credentials_file"] = str(file)
    with _served(repository.parent, Private, authority[1]) as address:
        host = address.removeprefix("https://").partition("/")[0]
        for refused in ("", f"https://ann:wrong@{host}\n"):
            file.write_text(refused, encoding="utf-8")
            status, said = await post(root, SERVICES, repo=address, ref="main")
            assert status == 400
            assert "DSS_GIT_CREDENTIALS_FILE" in said
            assert file.read_text(encoding="utf-8") == refused
        file.write_text(f"https://ann:to%25ken@{host}\n", encoding="utf-8")

        assert await post(root, SERVICES, repo=address, ref="main") == (200, newest)


@pytest.mark.usefixtures("trusting")
async def test_credentials_that_an_editor_of_windows_wrote_are_read(
    root: Client, portal: Portal, repository: Path, authority: tuple[Path, Path], tmp_path: Path
) -> None:
    newest = _git(repository, "rev-parse", "main")
    file = tmp_path / "credentials"
    portal.settings.__dict__["git_credentials_file"] = str(file)
    with _served(repository.parent, Private, authority[1]) as address:
        host = address.removeprefix("https://").partition("/")[0]
        lines = f"\ufeffhttps://ann:to%25ken@{host}\r\nhttps://ann:another@elsewhere\r\n"
        file.write_bytes(lines.encode())

        assert await post(root, SERVICES, repo=address, ref="main") == (200, newest)

    assert file.read_bytes() == lines.encode()


@pytest.mark.parametrize("user", ["ann:token@", "token@", ":token@"])
async def test_an_address_with_credentials_is_refused_and_not_repeated(
    root: Client, user: str
) -> None:
    status, said = await post(
        root, SERVICES, repo=f"https://{user}git.example.org/repo.git", ref="main"
    )

    assert status == 400
    assert "holds a user or a password" in said
    assert "token" not in said
