"""A program does not trust RabbitMQ's certificate: the log and /readyz say so in a sentence that names the settings."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from dss_broker.rabbit import RabbitBroker
from support.tls import certificate
from support.waiting import wait_until

BEGINS = "The encrypted connection to RabbitMQ at DSS_AMQP_URL failed: "
HINT = " SSL_CERT_FILE can name a file with the certificate of the server's authority."


@contextmanager
def server(context: ssl.SSLContext | None) -> Iterator[int]:
    """The port of a server that only shakes hands; without ``context`` it answers in plain text."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_shake_hands, args=(listening, context), daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def _shake_hands(listening: socket.socket, context: ssl.SSLContext | None) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        try:
            if context:
                connection = context.wrap_socket(connection, server_side=True)
            else:
                connection.recv(100)
                connection.sendall(b"AMQP\x00\x00\x09\x01")
        except OSError:  # the client does not go on
            pass
        finally:
            connection.close()


def problem(address: str) -> str:
    """What a program says that connects to ``address``."""
    with closing(RabbitBroker(f"amqps://ann:wordpass@{address}/dss", "dispatch", "1")) as broker:
        wait_until(lambda: broker.problem.startswith(BEGINS), 20, lambda: broker.problem)
        return broker.problem.removeprefix(BEGINS)


def test_an_authority_that_is_not_known(tmp_path: Path) -> None:
    _, context = certificate(tmp_path, "localhost")

    with server(context) as port:
        assert problem(f"localhost:{port}") == (
            f"certificate verify failed: self-signed certificate.{HINT}"
        )


def test_a_certificate_for_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    authority, context = certificate(tmp_path, "rabbit.example.org")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))

    with server(context) as port:
        assert problem(f"localhost:{port}") == (
            "certificate verify failed: Hostname mismatch, certificate is not valid for "
            f"'localhost'.{HINT}"
        )
    assert "wordpass" not in caplog.text


def test_a_port_without_encryption() -> None:
    with server(None) as port:
        assert problem(f"localhost:{port}") == "wrong version number."
