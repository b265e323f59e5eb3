"""Why a server cannot be reached: one sentence for each cause, with real sockets, TLS and a proxy."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from dss_client.__main__ import main
from support.recorder import recording, refusal


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Self-signed, for the name localhost; key and certificate in one file."""
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + built.public_bytes(Encoding.PEM))
    return file


@contextmanager
def listening(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server that takes one connection, speaks TLS if asked to, and says nothing."""

    def accept(listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
            with connection:
                if context is None:
                    connection.recv(1024)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                else:
                    context.wrap_socket(connection, server_side=True).close()
        except OSError:
            return  # the client has refused us, as it should

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, args=(listener,))
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def said(server: str, tmp_path: Path, **environment: str) -> str:
    """The one line of ``dss services``, which fails."""
    clean = dict.fromkeys(["http_proxy", "https_proxy", "all_proxy", "no_proxy", "NO_PROXY"], "")
    words = ["services", "--server", server, "--jar", str(tmp_path / "jar")]
    done = CliRunner().invoke(main, words, env={**clean, "DSS_TOKEN": "secret", **environment})
    assert (done.exit_code, len(done.output.splitlines())) == (2, 1), done.output
    return done.output.strip()


def test_a_certificate_that_is_not_trusted_is_told_as_that(
    certificate: Path, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with listening(context) as port:
        sentence = said(f"https://localhost:{port}", tmp_path)

    assert "is not trusted: self-signed certificate" in sentence
    assert "SSL_CERT_FILE" in sentence


def test_a_certificate_for_another_name_is_told_as_that(certificate: Path, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with listening(context) as port:
        sentence = said(f"https://127.0.0.1:{port}", tmp_path, SSL_CERT_FILE=str(certificate))

    assert "is not trusted: IP address mismatch" in sentence


def test_a_server_without_tls_at_an_https_address_is_told_as_that(tmp_path: Path) -> None:
    with listening() as port:
        sentence = said(f"https://127.0.0.1:{port}", tmp_path)

    assert "does not speak TLS as it should" in sentence


def test_a_name_that_nobody_knows_is_told_as_that(tmp_path: Path) -> None:
    sentence = said("http://nobody.invalid", tmp_path)

    assert "the name nobody.invalid is not known to this network" in sentence


def test_a_proxy_that_refuses_is_named_without_its_password(tmp_path: Path) -> None:
    with recording({"CONNECT": refusal("403 Forbidden")}) as proxy:
        address = proxy.address.replace("//", "//user:secret@")
        sentence = said("https://dss.example", tmp_path, https_proxy=address)

    assert "The proxy 127.0.0.1:" in sentence
    assert "does not let us reach https://dss.example" in sentence
    assert "secret" not in sentence


def test_a_proxy_that_does_not_answer_is_named_with_its_variable(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    sentence = said("http://dss.example", tmp_path, http_proxy=f"http://127.0.0.1:{port}")

    assert f"through the proxy 127.0.0.1:{port}, which http_proxy names" in sentence


def test_ipv6_in_no_proxy_is_no_traceback(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    sentence = said(f"http://127.0.0.1:{port}", tmp_path, NO_PROXY="::1,[::1],fd00::/8,127.0.0.0/8")

    assert sentence.startswith(f"No server answers at http://127.0.0.1:{port}. ")
    assert (
        "Is the portal started (make up)? Is the address right (--server, DSS_SERVER)?" in sentence
    )
    assert "dss doctor" in sentence


@pytest.mark.parametrize(
    "server", ["http://[::1", "http://127.0.0.1:99999", "https://[x]/", "http://h:0"]
)
def test_an_address_that_cannot_be_understood_is_one_sentence(server: str, tmp_path: Path) -> None:
    assert f"{server} is not the address of a server" in said(server, tmp_path)
