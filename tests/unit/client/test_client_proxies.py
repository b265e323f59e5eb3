"""Which proxy a server is reached through, by the rules of curl."""

import pytest

from dss_client.errors import Unreachable
from dss_client.proxies import proxy_for, require_address

PROXIES = {"http_proxy": "http://proxy:3128", "HTTPS_PROXY": "proxy:3129"}


@pytest.mark.parametrize(
    ("server", "excepted"),
    [
        ("http://[::1]:8080", "::1,[::1]"),
        ("http://[::1]", "[::1]"),
        ("http://[fd00::12]:8080/dss", "fd00::/8"),
        ("http://10.1.2.3", "10.0.0.0/8 localhost"),
        ("http://127.0.0.1:8080", "localhost, 127.0.0.1"),
        ("http://dss.hospital.example", "hospital.example"),
        ("http://dss.hospital.example", ".hospital.example:8080"),
        ("http://DSS.Hospital.example", "*.HOSPITAL.example"),
        ("https://anything", "*"),
    ],
)
def test_a_host_in_no_proxy_is_reached_directly(server: str, excepted: str) -> None:
    assert proxy_for(server, PROXIES | {"NO_PROXY": excepted}) is None


@pytest.mark.parametrize(
    ("server", "excepted"),
    [
        ("http://[2001:db8::1]", "::1,[::1],fd00::/8"),
        ("http://nothospital.example", "hospital.example"),
        ("http://10.1.2.3", "10.1.2.3.example, 11.0.0.0/8, 300.1.1.1/8, ::/0"),
        ("http://localhost", ",, ,"),
    ],
)
def test_any_other_host_is_reached_through_the_proxy(server: str, excepted: str) -> None:
    proxy = proxy_for(server, PROXIES | {"no_proxy": excepted})

    assert proxy is not None
    assert (proxy.variable, proxy.address) == ("http_proxy", "http://proxy:3128")


def test_a_proxy_without_a_scheme_speaks_http() -> None:
    proxy = proxy_for("https://dss", PROXIES)

    assert proxy is not None
    assert proxy.address == "http://proxy:3129"


@pytest.mark.parametrize("address", ["socks5://proxy:1080", "http://", "http://proxy:port"])
def test_a_proxy_that_cannot_be_used_is_told_by_its_variable(address: str) -> None:
    with pytest.raises(Unreachable, match="all_proxy does not name a proxy that can be used"):
        proxy_for("http://dss", {"all_proxy": address})


@pytest.mark.parametrize("host", ["..", "a" * 64, "[::1"])
def test_a_host_that_cannot_be_looked_up_is_no_address(host: str) -> None:
    with pytest.raises(Unreachable, match="host or port cannot be understood"):
        require_address(f"http://{host}")
    with pytest.raises(Unreachable, match="http_proxy does not name a proxy"):
        proxy_for("http://server", {"http_proxy": f"http://{host}:3128"})
