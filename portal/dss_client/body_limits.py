"""Measures the largest request that a proxy in front of a portal accepts, without sending such a request; for ``dss
doctor``.
"""

import os
import socket
import ssl
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

from dss_client.proxies import proxy_for

SIZES = (64 * 2**20, 256 * 2**20, 2**30, 4 * 2**30)
"""Sizes in bytes that are tried: a compressed CT, an uncompressed CT, and images of large scanners."""
WITHIN_S = 3.0


def accepted_and_refused_bytes(server: str) -> tuple[int | None, int | None]:
    """The largest of SIZES that is accepted, and the smallest that a proxy refuses, in bytes; None if there is none.  A
    size whose request fails counts as neither.

    Only the head of a request is sent: a server that refuses its body says so at once (RFC 9110, 10.1.1).  If the
    environment names a proxy for ``server``, nothing is measured and both are None.
    """
    largest: int | None = None
    if proxy_for(server, os.environ) is not None:
        return None, None
    for size in SIZES:
        with suppress(OSError):
            if _is_refused(server, size):
                return largest, size
            largest = size
    return largest, None


def _is_refused(server: str, size: int) -> bool:
    """True if a proxy refuses a request of ``size`` bytes with status 413 and a page of HTML.  The portal's own refusal
    contains no HTML.  Raises OSError if the connection fails.
    """
    parts = urlsplit(server)
    host = parts.hostname or ""
    head = (
        f"POST {parts.path.rstrip('/')}/api/login HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {size}\r\n"
        "Expect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    port = parts.port or (443 if parts.scheme == "https" else 80)
    with ExitStack() as opened:
        stream = opened.enter_context(socket.create_connection((host, port), WITHIN_S))
        if parts.scheme == "https":
            secured = ssl.create_default_context().wrap_socket(stream, server_hostname=host)
            stream = opened.enter_context(secured)
        stream.sendall(head.encode())
        response = _answer(stream)
    return b" 413 " in response.partition(b"\r\n")[0] and b"<html" in response.lower()


def _answer(stream: socket.socket) -> bytes:
    """The beginning of the response, up to about 8 kB; b"" if nothing comes within WITHIN_S, because the server waits
    for the body.
    """
    response = b""
    with suppress(TimeoutError):
        while len(response) < 4096 and (piece := stream.recv(4096)):
            response += piece
            if response.startswith(b"HTTP/1.1 100"):
                break
    return response
