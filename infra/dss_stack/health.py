"""Whether the programs can do their work, seen from outside."""

import ssl
from urllib.parse import urlsplit

import httpx
import psutil

_TIMEOUT_S = 5
_AMQP_PORT = 5672

NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For plain HTTP on loopback: httpx reads the certificates of all authorities for each call (20 ms) otherwise."""


def answers(url: str) -> bool:
    """True if ``url``, of plain HTTP, answers 200."""
    try:
        return (
            httpx.get(url, timeout=_TIMEOUT_S, verify=NO_AUTHORITIES).status_code == httpx.codes.OK
        )
    except httpx.HTTPError:
        return False


def reason_not_ready(metrics: str) -> str:
    """What the program whose numbers are at ``metrics`` (host:port) says is missing; "" if it says nothing."""
    try:
        answer = httpx.get(f"http://{metrics}/readyz", timeout=_TIMEOUT_S, verify=NO_AUTHORITIES)
    except httpx.HTTPError:
        return "It does not answer yet."
    return "" if answer.status_code == httpx.codes.OK else " ".join(answer.text.split())


def has_consumer(console_url: str, user: str, password: str, queue: str) -> bool:
    """True if somebody takes messages from ``queue``, as the queue itself says: never an old number."""
    try:
        answer = httpx.get(
            f"{console_url}/api/consumers/%2F",
            auth=(user, password),
            timeout=_TIMEOUT_S,
            verify=NO_AUTHORITIES,
        )
    except httpx.HTTPError:
        return False
    if answer.status_code != httpx.codes.OK:
        return False
    return any(consumer["queue"]["name"] == queue for consumer in answer.json())


def connected_to(process: psutil.Process, amqp_url: str) -> bool:
    """True if ``process`` holds a connection to the broker's port."""
    port = urlsplit(amqp_url).port or _AMQP_PORT
    try:
        connections = process.net_connections("tcp")
    except psutil.Error:
        return False
    return any(
        c.raddr and c.raddr.port == port and c.status == psutil.CONN_ESTABLISHED
        for c in connections
    )
