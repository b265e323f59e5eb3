"""``dss login`` by a browser: real command, real portal, real OpenID Connect provider, real Chromium."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support import sites
from support.brokers import fresh_vhost
from support.browsers import chromium
from support.issuers import CLIENT, SECRET, issuing
from support.stacks import Stack, free_port
from support.waiting import wait_until

pytestmark = [pytest.mark.stack]

DSS = [sys.executable, "-m", "dss_client"]


@pytest.fixture(scope="module")
def portal(
    rabbit: RabbitNode, postgres: PostgresCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A portal with an issuer, whose sign-ins expire soon."""
    port = free_port()
    callback = f"http://127.0.0.1:{port}/api/oauth2cb"
    with fresh_vhost(rabbit) as amqp_url, issuing(callback) as issuer:
        settings = {
            "DSS_OIDC_ISSUER": issuer,
            "DSS_OIDC_CLIENT_ID": CLIENT,
            "DSS_OIDC_CLIENT_SECRET": SECRET,
        }
        running = sites.portal_alone(
            amqp_url, postgres, tmp_path_factory.mktemp("portal"), settings, port
        )
        try:
            yield running
        finally:
            running.stop()


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture
def page(chrome: Browser) -> Iterator[Page]:
    """A page of a person who is not signed in anywhere."""
    context = chrome.new_context()
    context.set_default_timeout(sites.TIMEOUT_MS)
    yield context.new_page()
    context.close()


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment whose browser notes the address that it is to open."""
    script = tmp_path / "browser.sh"
    noted = 'printf %s "$1" > "$HOME/opening" && mv "$HOME/opening" "$HOME/opened"'
    script.write_text(f"#!/bin/sh\n{noted}\n", encoding="utf-8")
    script.chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DSS_", "SSH_"))}
    return {**kept, "HOME": str(tmp_path), "BROWSER": f"{script} %s"}


@contextmanager
def login(portal: Stack, home: dict[str, str], *words: str) -> Iterator["subprocess.Popen[str]"]:
    command = [*DSS, "login", "--server", portal.url, *words]
    with subprocess.Popen(
        command,
        env=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def dss(portal: Stack, home: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {**home, "DSS_SERVER": portal.url}
    return subprocess.run(
        [*DSS, *words], env=environment, capture_output=True, encoding="utf-8", check=False
    )


def sign_in(page: Page, who: str) -> None:
    """Sign in at the portal's page, by the provider, and accept the terms of use."""
    page.get_by_role("link", name="Sign in with your organisation's account").click()
    page.locator('input[name="login"]').fill(who)
    page.locator('input[name="password"]').fill("any")
    page.locator('button[type="submit"]').click()
    page.get_by_role("button", name="Continue").click()  # the provider's consent
    page.locator('input[name="cb"]').check()
    page.get_by_role("button", name="Accept", exact=True).click()


def test_a_browser_here_signs_the_command_line_in_without_copying(
    portal: Stack, home: dict[str, str], page: Page, tmp_path: Path
) -> None:
    with login(portal, home, "--browser") as running:
        wait_until((tmp_path / "opened").exists, 60)
        page.goto((tmp_path / "opened").read_text(encoding="utf-8"))
        sign_in(page, "ann@example.com")
        shown = page.locator("main").inner_text()
        page.get_by_role("button", name="Allow").click()
        expect(page.locator("body")).to_contain_text("dss has your answer")
        out, told = running.communicate(timeout=60)

    assert running.returncode == 0, told
    assert out.startswith("Signed in as ann@example.com. The token is kept in ")
    code = re.search(r"[B-Z]{4}-[B-Z]{4}", told)
    assert code
    assert code[0] in shown
    (kept,) = tmp_path.rglob("*.api")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "dss_" not in out + told
    assert dss(portal, home, "tickets").returncode == 0
    token = json.loads(kept.read_text(encoding="utf-8"))["token"]
    assert dss(portal, home, "logout").stdout == f"Signed out of {portal.url}.\n"
    assert dss(portal, {**home, "DSS_TOKEN": token}, "tickets").returncode == 2


def test_over_ssh_a_code_is_typed_into_a_browser_elsewhere(
    portal: Stack, home: dict[str, str], page: Page, tmp_path: Path
) -> None:
    with login(portal, home, "--no-browser") as running:
        assert running.stderr is not None
        told = running.stderr.readline()
        found = re.search(r"Open (\S+) in any browser, and type the code (\S+) there", told)
        assert found
        page.goto(found[1])
        sign_in(page, "bob@example.com")
        page.get_by_label("Code").fill(found[2].lower().replace("-", " "))
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("button", name="Allow").click()
        expect(page.locator("h1")).to_have_text("The machine is signed in")
        out, _ = running.communicate(timeout=60)

    assert out.startswith("Signed in as bob@example.com.")
    assert not (tmp_path / "opened").exists()


def test_a_refusal_on_the_page_is_told(
    portal: Stack, home: dict[str, str], page: Page, tmp_path: Path
) -> None:
    with login(portal, home, "--browser") as running:
        wait_until((tmp_path / "opened").exists, 60)
        page.goto((tmp_path / "opened").read_text(encoding="utf-8"))
        sign_in(page, "eve@example.com")
        page.get_by_role("button", name="Refuse").click()
        expect(page.locator("body")).to_contain_text("dss has your answer")
        out, told = running.communicate(timeout=60)

    assert (running.returncode, out) == (1, "")
    assert told.endswith("The sign-in was refused on the page.\n")
    assert not list(tmp_path.rglob("*.api"))


def test_a_sign_in_goes_on_when_the_portal_comes_back(
    portal: Stack, home: dict[str, str], page: Page
) -> None:
    with login(portal, home, "--no-browser") as running:
        assert running.stderr is not None
        told = running.stderr.readline()
        portal.kill("portal")
        portal.start_one("portal")
        wait_until(portal.portal_ready, 60, portal.logs)
        page.goto(f"{portal.url}/device")
        sign_in(page, "joe@example.com")
        page.get_by_label("Code").fill(told.split("type the code ")[1].split()[0])
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("button", name="Allow").click()
        out, _ = running.communicate(timeout=60)

    assert out.startswith("Signed in as joe@example.com.")
