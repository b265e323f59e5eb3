"""Chooses the proxy for a server by the rules of libcurl, which ITK-SNAP and git use.

Facts: the manual of curl, ENVIRONMENT.  An entry of ``NO_PROXY`` is a host name, which includes the names below it;
an address; or a network such as ``10.0.0.0/8`` or ``fd00::/8``.  IPv6 may have brackets.  ``*`` stands for every
host.

Unlike libcurl, our HTTP clients have no SOCKS.  They get the proxy chosen here and do not read the environment
themselves, because httpx ends with an ImportError for a SOCKS proxy, even one of another server, and with InvalidURL
for some entries of ``NO_PROXY``.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

_SCHEMES = frozenset({"http", "https"})


class ProxyUnusable(ValueError):
    """A variable names a proxy that our HTTP clients cannot use.  The text is a sentence with the variable's name, and
    without its value, which may contain a password.
    """


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A proxy.  ``variable`` is the environment variable that contains its ``address``."""

    variable: str
    address: str


def proxy_for(server: str, environment: Mapping[str, str]) -> Proxy | None:
    """The proxy for ``server`` by the variables in ``environment``; None for a direct connection.  Raises ProxyUnusable
    if the proxy's address is malformed, or of another kind than http and https.
    """
    parts = urlsplit(server)
    excepted = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if _is_excepted(parts.hostname or "", excepted):
        return None
    # Ignore HTTP_PROXY in capitals, as curl does: web servers set it from a header of the request.
    names = ("https_proxy", "HTTPS_PROXY") if parts.scheme == "https" else ("http_proxy",)
    for variable in (*names, "all_proxy", "ALL_PROXY"):
        if environment.get(variable):
            return Proxy(variable=variable, address=proxy_address(variable, environment[variable]))
    return None


def excepting_loopback(environment: Mapping[str, str]) -> dict[str, str]:
    """``environment``, in which this machine's own servers are reached without a proxy.  For programs whose servers all
    run here: the loopback of the proxy is another machine's.
    """
    excepted = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    entries = ",".join(filter(None, (excepted, "localhost,127.0.0.1,::1")))
    return {**environment, "no_proxy": entries, "NO_PROXY": entries}


def proxy_address(variable: str, value: str) -> str:
    """The proxy's address in ``value``, which may lack http://.  Raises ProxyUnusable as ``proxy_for`` does."""
    address = value if "://" in value else f"http://{value}"
    scheme = address.partition("://")[0].lower()
    if scheme not in _SCHEMES:
        raise _unusable(variable, f": its kind is {scheme[:20]}")
    if not _has_host(address):
        raise _unusable(variable, "")
    return address


def _has_host(address: str) -> bool:
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        host.encode("idna")
        return bool(host) and parts.port != 0
    except ValueError:
        return False


def _unusable(variable: str, why: str) -> ProxyUnusable:
    return ProxyUnusable(
        f"{variable} does not name a proxy that can be used{why}; it needs http://HOST:PORT. "
        "Set NO_PROXY to the server's name to reach it without a proxy."
    )


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
