"""Explains a failed connection in a sentence that says what to do."""

import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx

from dss_client.errors import NobodyListens, Unreachable
from dss_process.proxies import Proxy


def unreachable(server: str, proxy: Proxy | None, error: httpx.TransportError) -> Unreachable:
    """The Unreachable whose sentence explains ``error``.  The causes of ``error`` are examined from the outermost to
    the innermost, and the first known one is explained.
    """
    for cause in _causes(error):
        match cause:
            case ssl.SSLCertVerificationError():
                return Unreachable(_untrusted(server, cause))
            case ssl.SSLError():
                return Unreachable(
                    f"The server at {server} does not speak TLS as it should ({_tls_reason(cause)}). "
                    "Perhaps its address begins with http:// instead of https://."
                )
            case socket.gaierror():
                return Unreachable(_unknown_name(server, proxy))
    kind = NobodyListens if isinstance(error, httpx.ConnectError) else Unreachable
    return kind(_without_cause(server, proxy, error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    following: BaseException | None = error
    while following is not None:
        yield following
        following = following.__cause__ or following.__context__


def _untrusted(server: str, error: ssl.SSLCertVerificationError) -> str:
    return (
        f"The certificate of {server} is not trusted: {error.verify_message.rstrip('.')}. "
        "If it was made by an authority of your own site, set SSL_CERT_FILE to a file with that "
        "authority's certificate."
    )


def _tls_reason(error: ssl.SSLError) -> str:
    return (error.reason or "no reason given").replace("_", " ").lower()


def _unknown_name(server: str, proxy: Proxy | None) -> str:
    if proxy is not None:
        host = urlsplit(proxy.address).hostname
        return f"The proxy {host}, which {proxy.variable} names, is not known to this network."
    host = urlsplit(server).hostname
    return f"No server answers at {server}: the name {host} is not known to this network."


def _without_cause(server: str, proxy: Proxy | None, error: httpx.TransportError) -> str:
    through = f" through the proxy {_shown(proxy)}, which {proxy.variable} names" if proxy else ""
    match error:
        case httpx.ProxyError():
            return f"The proxy {_shown(proxy)} does not let us reach {server}: {error}."
        case httpx.ConnectTimeout():
            return f"No server answers at {server}{through}: nothing came back in time."
        case httpx.ConnectError():
            return f"No server answers at {server}{through}."
        case httpx.TimeoutException():
            return f"The server at {server} has stopped answering."
        case _:
            return f"The connection to {server} broke."


def _shown(proxy: Proxy | None) -> str:
    """Host and port of the proxy, without the password that its address may contain."""
    parts = urlsplit(proxy.address if proxy else "")
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
