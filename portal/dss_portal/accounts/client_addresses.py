"""The client address of a request, also behind proxies."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from quart import request

from dss_portal.settings import Network
from dss_portal.web.context import components

Address = IPv4Address | IPv6Address

IPV6_PREFIX = 64  # one customer's network, within which its addresses change


def key() -> str:
    """The address or network of the client that sent the current request, from ``key_of``.  Failed sign-ins are counted
    under it.
    """
    trusted = components().settings.proxy_networks
    forwarded = ",".join(request.headers.getlist("X-Forwarded-For"))
    return key_of(request.remote_addr or "", forwarded, trusted)


def key_of(remote: str, forwarded: str, trusted: Sequence[Network]) -> str:
    """The client's address; for IPv6, its network of IPV6_PREFIX bits.  ``remote`` unchanged if it is no IP address.

    ``remote`` is the address that connected to the portal.  ``forwarded`` is X-Forwarded-For: each proxy appends the
    address that connected to it, so entries are read from the right, for as long as the address that added them is in
    ``trusted``.
    """
    address = parsed(remote)
    if address is None:
        return remote
    hops = forwarded.split(",")
    while hops and any(address in network for network in trusted):
        before = parsed(hops.pop())
        if before is None:
            break  # the proxy did not know the address
        address = before
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((int(address), IPV6_PREFIX), strict=False))


def parsed(text: str) -> Address | None:
    """The address in ``text``, with or without a port; None if it is no address.  An IPv4 address inside IPv6 becomes
    IPv4.
    """
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
