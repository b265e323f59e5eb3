"""Receivers of notifications on loopback: an HTTP server with given answers, and a mail server."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

CUT = b""
"""Read the request, then close without an answer."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """``answered``: the receiver answers, rather than end the connection."""

    path: str
    headers: dict[str, str]
    body: bytes
    at_s: float
    answered: bool = True


@dataclass
class Receiver:
    """``answers`` are used up in order: a status, or raw bytes to send before the connection ends; then 200.

    Each answer comes after ``delay_s``.
    """

    answers: list[int | bytes] = field(default_factory=list)
    delay_s: float = 0.0
    asked: list[Asked] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def keys(self) -> list[str]:
        return [asked.headers["idempotency-key"] for asked in self.asked]


@contextmanager
def http_receiver(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) < length:  # the sender was killed meanwhile
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = receiver.answers.pop(0) if receiver.answers else 200
            asked = Asked(
                path=self.path,
                headers=headers,
                body=body,
                at_s=time.time(),
                answered=answer != CUT,
            )
            receiver.asked.append(asked)
            time.sleep(receiver.delay_s)
            self.close_connection = True
            with suppress(OSError):
                self._give(answer)

        def do_GET(self) -> None:
            receiver.asked.append(Asked(path=self.path, headers={}, body=b"", at_s=time.time()))
            self._give(200)

        def _give(self, answer: int | bytes) -> None:
            if isinstance(answer, bytes):
                self.wfile.write(answer)
                return
            self.send_response(answer)
            self.send_header("Location", f"{receiver.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket.listen(128)
    if tls is not None:
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@dataclass
class MailBox:
    """``cut``: so many mails are taken, and the connection ends before the answer; ``refuse``: so many get that code."""

    port: int = 0
    cut: int = 0
    refuse: list[str] = field(default_factory=list)
    mails: list[Message] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        if self.refuse:
            return self.refuse.pop(0)
        assert isinstance(envelope.content, bytes)
        self.mails.append(message_from_bytes(envelope.content))
        self.recipients += [str(recipient) for recipient in envelope.rcpt_tos]
        if self.cut:
            self.cut -= 1
            assert server.transport is not None
            server.transport.close()
        return "250 OK"


@contextmanager
def mail_server(
    tls: ssl.SSLContext | None = None, password: str = "", *, box: MailBox | None = None
) -> Iterator[MailBox]:
    """Mails come into ``box``, or into a new one.  With ``tls``, mail is taken only after STARTTLS, and from the user ``dss`` with that password."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    box = box or MailBox()
    box.port = port

    def signs_in(
        _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, sent: LoginPassword
    ) -> AuthResult:
        right = sent == LoginPassword(b"dss", password.encode())
        return AuthResult(success=right, handled=right)

    secured = {
        "tls_context": tls,
        "require_starttls": True,
        "auth_required": True,
        "authenticator": signs_in,
    }
    own = secured if tls is not None else {}
    controller = Controller(box, hostname="127.0.0.1", port=port, **own)  # type: ignore[arg-type]  # mypy takes all keywords for one type
    controller.start()
    try:
        yield box
    finally:
        controller.stop()
