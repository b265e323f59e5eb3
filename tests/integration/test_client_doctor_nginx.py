"""``dss doctor`` behind a real nginx with the faults that sites have: each is named, with what to do."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dss_client.__main__ import main
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support import sites
from support.brokers import fresh_vhost
from support.nginxes import nginx, passed_to
from support.stacks import Stack, free_port
from support.tls import certificate

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def portal(
    rabbit: RabbitNode, postgres: PostgresCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """That takes its own address for one with https."""
    with fresh_vhost(rabbit) as amqp_url:
        settings = {"DSS_PUBLIC_URL": "https://dss.example.org"}
        folder = tmp_path_factory.mktemp("portal")
        running = sites.portal_alone(amqp_url, postgres, folder, settings, free_port())
        try:
            yield running
        finally:
            running.stop()


def doctor(server: str, **environment: str) -> Result:
    cleared = {name: None for name in os.environ if name.lower().endswith("_proxy")}
    done = CliRunner().invoke(main, ["doctor", "--server", server], env={**cleared, **environment})
    assert done.exit_code in {0, 1}, done.output
    return done


def said(done: Result) -> str:
    return re.sub(r"\s+", " ", done.output)


@pytest.mark.parametrize(
    ("extra", "sentence", "status"),
    [
        ("", "lets no large file through", 1),
        ("client_max_body_size 100m;", "refuses files of 256 MB", 0),
        ("client_max_body_size 0;", "Nothing in front of the portal refuses 4 GB", 0),
        (
            "client_max_body_size 0; proxy_request_buffering off;",
            "Nothing in front of the portal refuses 4 GB",
            0,
        ),
        ('auth_basic "Hospital"; auth_basic_user_file /dev/null;', "asks for a user name", 1),
        ("return 301 https://dss.example.org$request_uri;", "to https://dss.example.org; ITK", 1),
        ("return 403;", "forbids the request (status 403)", 1),
        ("return 200 '<html>Welcome</html>';", "is a part of the address missing", 1),
    ],
)
def test_a_fault_of_the_proxy_is_named(
    portal: Stack, tmp_path: Path, extra: str, sentence: str, status: int
) -> None:
    with nginx(tmp_path / "nginx", passed_to(portal.url, extra)) as address:
        done = doctor(address)

    assert sentence in said(done)
    assert done.exit_code == status


def test_a_portal_that_is_away_is_named(tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    with nginx(tmp_path / "nginx", passed_to(nowhere)) as address:
        assert "the portal behind it does not (status 502)" in said(doctor(address))


def test_an_address_without_its_prefix_is_named(portal: Stack, tmp_path: Path) -> None:
    location = passed_to(f"{portal.url}/", "client_max_body_size 0;", "/dss/")
    with nginx(tmp_path / "nginx", location) as address:
        without, within = doctor(address), doctor(f"{address}/dss")

    assert f"There is no segmentation service at {address}; check the address" in said(without)
    assert "such as /dss" in said(without)
    assert f"A segmentation service answers at {address}/dss, version" in said(within)


def test_another_public_address_is_named(portal: Stack) -> None:
    done = doctor(portal.url)

    assert "takes its own address for https://dss.example.org" in said(done)
    assert "DSS_PUBLIC_URL" in said(done)


def test_a_cookie_that_never_comes_back_is_named(portal: Stack, tmp_path: Path) -> None:
    hidden = passed_to(portal.url, "client_max_body_size 0; proxy_hide_header Set-Cookie;")
    with nginx(tmp_path / "nginx", hidden) as address:
        removed = doctor(address, DSS_TOKEN=portal.token("ann@example.com"))
    secure = doctor(portal.url, DSS_TOKEN=portal.token("ann@example.com"))

    assert "removes Set-Cookie" in said(removed)
    assert "cookie is for https:// only" in said(secure)
    assert (removed.exit_code, secure.exit_code) == (1, 1)


def test_a_certificate_that_nobody_trusts_is_named(portal: Stack, tmp_path: Path) -> None:
    authority, _ = certificate(tmp_path, "localhost")
    tls = f"ssl_certificate {tmp_path}/server.pem; ssl_certificate_key {tmp_path}/server.pem;"
    location = passed_to(portal.url, "client_max_body_size 100m;")
    with nginx(tmp_path / "nginx", location, tls=tls) as address:
        named = address.replace("127.0.0.1", "localhost")
        unknown = doctor(named)
        trusted = doctor(named, SSL_CERT_FILE=str(authority))
        other = doctor(address, SSL_CERT_FILE=str(authority))
        plain = doctor(named.replace("https", "http"))

    assert "is not trusted" in said(unknown)
    assert "set SSL_CERT_FILE" in said(unknown)
    assert "The certificate is trusted, and valid for 1 days more" in said(trusted)
    assert "refuses files of 256 MB" in said(trusted)
    assert "is not trusted" in said(other)
    assert "speaks https:// only" in said(plain)
    assert [done.exit_code for done in (unknown, trusted, other, plain)] == [1, 0, 1, 1]
