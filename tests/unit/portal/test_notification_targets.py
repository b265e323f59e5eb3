"""Webhooks and ntfy messages go to public addresses only, unless the site lists a network."""

from ipaddress import ip_address, ip_network

import pytest

from dss_portal.notifications.targets import NotFound, is_public, resolve_permitted
from dss_portal.refusals import Refused

SPECIAL = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%1",
    "fc00::1",
    "fd00::1",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001:0:4136:e378:8000:63bf:f5ff:fffe",
]


@pytest.mark.parametrize("address", SPECIAL)
def test_a_private_or_special_address_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_a_public_address_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://localhost/",
        "https://localhost./",
        "https://[fe80::1%25lo]/",
    ],
)
async def test_loopback_is_refused_however_it_is_written(url: str) -> None:
    with pytest.raises((Refused, NotFound), match=r"private or special|no address|no web address"):
        await resolve_permitted(url, ())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://8.8.8.8/",
        "file:///etc/passwd",
        "https://",
        "https://user:password@8.8.8.8/",
        "https://8.8.8.8\\@127.0.0.1/",
        "https://8.8.8.8/\r\nX-Other: 1",
        "https://8.8.8.8:0/",
        "https://8.8.8.8:99999/",
        "https://[::1/",
        "https://b\u00fccher.example/",
        "https://8.8.8.8/" + "a" * 500,
        "http://8.8.8.8/",
    ],
)
async def test_what_is_no_plain_https_address_is_refused_in_a_sentence(url: str) -> None:
    with pytest.raises(Refused, match=r"\.$"):
        await resolve_permitted(url, ())


async def test_a_network_that_the_site_lists_is_allowed_also_without_tls() -> None:
    target = await resolve_permitted("http://127.0.0.1:8123/x", [ip_network("127.0.0.0/8")])

    assert (target.addresses, target.authority) == (("127.0.0.1",), "127.0.0.1:8123")


async def test_a_public_address_is_taken() -> None:
    assert (await resolve_permitted("https://8.8.8.8/x", ())).addresses == ("8.8.8.8",)
