"""Checks from outside, by HTTP and by their connections, whether the processes of the local stack can work."""

import ssl
from urllib.parse import urlsplit

import httpx
import psutil

_TIMEOUT_S = 5
_AMQP_PORT = 5672

NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Argument ``verify`` of httpx for plain HTTP on loopback: by default httpx reads all certificate authorities for each
call, which takes 20 ms.
"""


def get(url: str, auth: tuple[str, str] | None = None) -> httpx.Response:
    """The response to a GET of ``url``, over plain HTTP on loopback.  Raises httpx.HTTPError.

    Variables such as ALL_PROXY do not count, because a proxy would look at its own loopback.
    """
    return httpx.get(url, auth=auth, timeout=_TIMEOUT_S, verify=NO_AUTHORITIES, trust_env=False)


def answers(url: str) -> bool:
    """True if a GET of ``url``, over plain HTTP, responds with status 200."""
    try:
        return get(url).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def reason_not_ready(metrics: str) -> str:
    """Why the program whose metrics are at ``metrics`` (host:port) is not ready, as its ``/readyz`` says; "" if it is
    ready.
    """
    try:
        answer = get(f"http://{metrics}/readyz")
    except httpx.HTTPError:
        return "It does not answer yet."
    return "" if answer.status_code == httpx.codes.OK else " ".join(answer.text.split())


def has_consumer(console_url: str, user: str, password: str, queue: str) -> bool:
    """True if ``queue``, in the virtual host "/", has a consumer.  Uses the list of consumers of RabbitMQ's HTTP API,
    which is current, unlike RabbitMQ's statistics; False if the API does not respond.
    """
    try:
        answer = get(f"{console_url}/api/consumers/%2F", auth=(user, password))
    except httpx.HTTPError:
        return False
    if answer.status_code != httpx.codes.OK:
        return False
    return any(consumer["queue"]["name"] == queue for consumer in answer.json())


def connected_to(process: psutil.Process, amqp_url: str) -> bool:
    """True if ``process`` has a TCP connection to the port of ``amqp_url``."""
    port = urlsplit(amqp_url).port or _AMQP_PORT
    try:
        connections = process.net_connections("tcp")
    except psutil.Error:
        return False
    return any(
        c.raddr and c.raddr.port == port and c.status == psutil.CONN_ESTABLISHED
        for c in connections
    )
