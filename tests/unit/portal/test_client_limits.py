"""By which address a client is counted, and what the counting costs."""

import time
from ipaddress import ip_network

import pytest
from pydantic import ValidationError

from dss_portal.accounts.client_addresses import key_of
from dss_portal.accounts.limits import MAX_KEYS, Count, RateWindow
from dss_portal.refusals import Refused
from dss_portal.settings import Settings

PROXIES = [ip_network("10.0.0.7"), ip_network("10.1.0.0/16"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("remote", "forwarded", "key"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.9", "192.0.2.1"),  # no proxy of ours
        ("10.0.0.7", "", "10.0.0.7"),
        ("10.0.0.7", "198.51.100.9", "198.51.100.9"),
        ("10.0.0.7", "203.0.113.5, 198.51.100.9", "198.51.100.9"),  # the left one is forged
        ("10.0.0.7", "198.51.100.9, 10.1.2.3", "198.51.100.9"),  # two proxies
        ("10.0.0.7", "10.1.2.3, 198.51.100.9, 10.1.2.3", "198.51.100.9"),
        ("10.0.0.7", "10.1.2.3", "10.1.2.3"),  # a client beside the proxies
        ("10.0.0.7", "198.51.100.9, unknown", "10.0.0.7"),
        ("10.0.0.7", ", ,", "10.0.0.7"),
        ("10.0.0.7", "198.51.100.9:4711", "198.51.100.9"),
        ("10.0.0.7", "::ffff:198.51.100.9", "198.51.100.9"),
        ("::ffff:10.0.0.7", "198.51.100.9", "198.51.100.9"),
        ("fd00::1", '"[2001:db8:1:2:3::4]:443"', "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", "", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "", "fe80::/64"),
        ("", "198.51.100.9", ""),
    ],
)
def test_a_client_is_known_by_what_the_last_trusted_proxy_says(
    remote: str, forwarded: str, key: str
) -> None:
    assert key_of(remote, forwarded, PROXIES) == key


def test_what_is_no_network_is_told_in_a_sentence() -> None:
    needed = {
        "database_url": "postgres://dss@127.0.0.1/dss",
        "amqp_url": "amqp://memory",
        "datastore": "/",
        "secret_key": "k" * 32,
    }

    with pytest.raises(ValidationError, match="'proxy' is neither an address nor a network"):
        Settings.model_validate({**needed, "trusted_proxies": "10.0.0.1, proxy"})


def _counts_until_refused(window: RateWindow, key: str) -> int:
    for count in range(1000):
        try:
            window.count(key)
        except Refused:
            return count
    raise AssertionError


def test_the_limit_comes_back_gradually(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    window = RateWindow(10, "Too many.")
    assert _counts_until_refused(window, "a") == 10
    assert _counts_until_refused(window, "b") == 10

    now_s += 90

    assert _counts_until_refused(window, "a") == 5
    now_s += 150
    assert _counts_until_refused(window, "a") == 10


def test_a_refusal_says_how_long_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    window = RateWindow(1, "Too many.")
    window.count("a")
    now_s += 20.5

    with pytest.raises(Refused, match=r"Too many\. Try again in 40 seconds\."):
        window.count("a")


def test_many_strangers_cost_no_more_memory_than_a_few() -> None:
    window = RateWindow(10, "Too many.")

    for number in range(2 * MAX_KEYS):
        window.count(f"stranger {number}")

    assert len(window._counts) == MAX_KEYS
    assert isinstance(next(iter(window._counts.values())), Count)
