"""Checks the server's address, and chooses the proxy for it (see ``dss_process.proxies``)."""

from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from dss_client.errors import Unreachable
from dss_process import proxies
from dss_process.proxies import Proxy, ProxyUnusable

_SCHEMES = frozenset({"http", "https"})


def require_address(server: str) -> None:
    """Raises Unreachable if ``server`` is not an HTTP address, has a blank or a character that cannot be printed, or
    contains a user name or a password.
    """
    try:
        parts = urlsplit(server)
        usable = _has_host(parts)
    except ValueError:
        raise Unreachable(
            f"{server} is not the address of a server: its host or port cannot be understood; "
            "it is like http://HOST:PORT."
        ) from None
    if parts.username or parts.password:
        raise Unreachable(
            "The address of the server holds a user name or password; leave them out, and sign in with a token."
        )
    if not (server.isprintable() and " " not in server):
        raise Unreachable(
            f"{server} is not the address of a server: it has a blank, or a character that no address has."
        )
    if not usable:
        raise Unreachable(
            f"{server} is not the address of a server; it begins with http:// or https://."
        )


def _has_host(parts: SplitResult) -> bool:
    """True for an HTTP address with a host.  Raises ValueError if its port is none, or its host cannot be looked up."""
    host = parts.hostname or ""
    host.encode("idna")
    return parts.scheme in _SCHEMES and bool(host) and parts.port != 0


def proxy_for(server: str, environment: Mapping[str, str]) -> Proxy | None:
    """As ``dss_process.proxies.proxy_for``, but raises Unreachable if the proxy cannot be used."""
    try:
        return proxies.proxy_for(server, environment)
    except ProxyUnusable as error:
        raise Unreachable(str(error)) from error
