"""Decides to which URLs webhooks and ntfy messages may be sent, by the IP addresses of the host, not by its name.

The caller must connect to the addresses that were checked, because a second lookup could return other ones.
"""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from dss_portal.refusals import Refused

Network = IPv4Network | IPv6Network
MOST_CHARACTERS = 500
LOOK_UP_S = 5.0
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = IPv6Network("::/96")


class NotFound(Exception):
    """The host name has no address now."""


@dataclass(frozen=True, kw_only=True)
class Destination:
    """A permitted destination.  ``addresses`` are the checked addresses of ``host``; ``authority`` is the host with its
    port, if the URL has one.
    """

    url: str
    host: str
    authority: str
    addresses: tuple[str, ...]


def check_form(url: str) -> None:
    """Raises Refused, with a sentence, unless ``url`` is an http or https address in ASCII of at most MOST_CHARACTERS
    that has a host, no user, no password, no blanks or backslashes, and no port 0.
    """
    if len(url) > MOST_CHARACTERS:
        raise Refused(
            f"The address has {len(url)} characters; at most {MOST_CHARACTERS} are taken."
        )
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise Refused("The address may have only ASCII characters, and no blanks or backslashes.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Refused("This is no web address.") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Refused("An address that begins with https:// and a host is needed.")
    if parts.username is not None or parts.password is not None:
        raise Refused("The address may not have a user or a password.")
    if port == 0:
        raise Refused("The address has port 0, which no server listens on.")


async def resolve_permitted(url: str, listed: Sequence[Network]) -> Destination:
    """Look up and check the destination of ``url``.  Raises Refused if this server may not send there, NotFound if the
    host has no address.

    All addresses of the host must be public or in ``listed``; for http instead of https, all must be in ``listed``.
    """
    check_form(url)
    parts = urlsplit(url)
    host = parts.hostname or ""
    found = await _addresses(host, parts.port or (443 if parts.scheme == "https" else 80))
    are_listed = all(_is_listed(address, listed) for address in found)
    if not all(_is_listed(address, listed) or is_public(address) for address in found):
        raise Refused(
            f"{host} is in a private or special network, where this server sends nothing."
        )
    if parts.scheme == "http" and not are_listed:
        raise Refused("An address that begins with https:// is needed.")
    return Destination(
        url=url,
        host=host,
        authority=parts.netloc,
        addresses=tuple(str(address) for address in found),
    )


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """False for private, loopback, link-local and other special addresses, and for an IPv6 address that contains such
    an IPv4 address.
    """
    inner = _embedded(address)
    if inner is not None:
        return is_public(inner)
    site_local = isinstance(address, IPv6Address) and address.is_site_local
    special = address.is_multicast or address.is_reserved or address.is_unspecified or site_local
    return address.is_global and not special


def _embedded(address: IPv4Address | IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a mapped, translated or tunnelled IPv6 address leads to; None for any other address."""
    if isinstance(address, IPv4Address):
        return None
    if address.ipv4_mapped or address.sixtofour:
        return address.ipv4_mapped or address.sixtofour
    if address.teredo:
        return address.teredo[1]
    translated = any(address in network for network in _NAT64)
    compatible = address in _COMPATIBLE and int(address) > 1
    return IPv4Address(int(address) & 0xFFFFFFFF) if translated or compatible else None


def _is_listed(address: IPv4Address | IPv6Address, listed: Sequence[Network]) -> bool:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return any((mapped or address) in network for network in listed)


async def _addresses(host: str, port: int) -> list[IPv4Address | IPv6Address]:
    """The addresses of a host.  Raises NotFound if it has none, or if none is found within LOOK_UP_S."""
    loop = asyncio.get_running_loop()
    try:
        found = await asyncio.wait_for(
            loop.getaddrinfo(host, port, type=socket.SOCK_STREAM), LOOK_UP_S
        )
    except (OSError, UnicodeError, TimeoutError) as error:
        raise NotFound(f"The name {host} has no address.") from error
    texts = dict.fromkeys(str(address[0]) for *_, address in found)
    return [ip_address(text) for text in texts]
