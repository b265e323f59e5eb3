"""Chooses the proxy for a server by the rules of libcurl, which ITK-SNAP uses.

Facts: the manual of curl, ENVIRONMENT.  An entry of ``NO_PROXY`` is a host name, which includes the names below it;
an address; or a network such as ``10.0.0.0/8`` or ``fd00::/8``.  IPv6 may have brackets.  ``*`` stands for every
host.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from dss_client.errors import Unreachable

_SCHEMES = frozenset({"http", "https"})


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A proxy.  ``variable`` is the environment variable that contains its ``address``."""

    variable: str
    address: str


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
    """The proxy for ``server`` by the variables in ``environment``; None for a direct connection.  Raises Unreachable
    if the proxy's address is malformed.
    """
    parts = urlsplit(server)
    excepted = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if _is_excepted(parts.hostname or "", excepted):
        return None
    # Ignore HTTP_PROXY in capitals, as curl does: web servers set it from a header of the request.
    names = ("https_proxy", "HTTPS_PROXY") if parts.scheme == "https" else ("http_proxy",)
    for variable in (*names, "all_proxy", "ALL_PROXY"):
        if environment.get(variable):
            return Proxy(variable=variable, address=_address(variable, environment[variable]))
    return None


def _address(variable: str, value: str) -> str:
    address = value if "://" in value else f"http://{value}"
    try:
        usable = _has_host(urlsplit(address))
    except ValueError:
        usable = False
    if not usable:
        raise Unreachable(
            f"{variable} does not name a proxy that can be used; it needs http://HOST:PORT. "
            "Set NO_PROXY to the server's name to reach it without a proxy."
        )
    return address


def _is_excepted(host: str, excepted: str) -> bool:
    return any(_matches(host, entry) for entry in excepted.replace(",", " ").split())


def _matches(host: str, entry: str) -> bool:
    if entry == "*":
        return True
    address = _ip(host)
    if address is not None:
        return _contains(entry, address)
    name = entry.lstrip("*").strip(".").partition(":")[0]  # a port may follow
    return bool(name) and f".{host.lower().rstrip('.')}".endswith(f".{name.lower()}")


def _contains(entry: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    head, _, tail = entry.partition("/")
    text = head.strip("[]") + (f"/{tail}" if tail else "")
    try:
        return address in ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
