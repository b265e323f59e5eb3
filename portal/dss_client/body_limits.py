"""Finds the largest request that the proxies in front of a portal let through, without sending it."""

import os
import socket
import ssl
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

from dss_client.proxies import proxy_for

SIZES = (64 * 2**20, 256 * 2**20, 2**30, 4 * 2**30)
"""Of a compressed CT, of a plain one, and of what large scanners write."""
WITHIN_S = 3.0


def announced(server: str) -> tuple[int | None, int | None]:
    """The largest of SIZES that is let through, and the smallest that a proxy refuses; None for neither.

    Only the request's head is sent (RFC 9110, 10.1.1: a server that wants no such body says so at once).  Nothing is
    tried through a proxy of the environment.
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
    """True if a proxy answers with the status 413.  The portal's own refusal is a sentence, not a page."""
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
        told = _answer(stream)
    return b" 413 " in told.partition(b"\r\n")[0] and b"<html" in told.lower()


def _answer(stream: socket.socket) -> bytes:
    """What comes back: all of a refusal, or nothing within WITHIN_S from one that waits for the body."""
    told = b""
    with suppress(TimeoutError):
        while len(told) < 4096 and (piece := stream.recv(4096)):
            told += piece
            if told.startswith(b"HTTP/1.1 100"):
                break
    return told
