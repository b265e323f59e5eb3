"""Messages of the browser when a ticket ends."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page

from support.sites import Site, browse, claim, finish, new_ticket, serve
from support.waiting import wait_until

pytestmark = [pytest.mark.stack]

SERVICE = "told-lungs"
FAKE = """
window.told = []; window.asked = 0;
window.Notification = class {
  constructor(title, options) { window.told.push(title + "|" + JSON.stringify(options)); }
  static requestPermission() { window.asked++; Notification.permission = "granted"; return Promise.resolve("granted"); }
};
Notification.permission = "PERMISSION";
"""
"""Headless Chromium shows no messages, so the page talks to this."""


@pytest.fixture(scope="module")
def jane(
    site: Site, root: httpx.Client, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    serve(site, root, tmp_path_factory.mktemp("offer"), SERVICE)
    with site.program("janet@example.com", "--tier", "poweruser") as client:
        yield client


def opened(browser: Browser, client: httpx.Client, permission: str) -> Page:
    page = browse(browser, client)
    page.add_init_script(FAKE.replace("PERMISSION", permission))
    return page


def test_an_open_page_without_tickets_shows_a_message_when_one_ends(
    site: Site, browser: Browser, jane: httpx.Client
) -> None:
    number = new_ticket(jane, SERVICE)
    page = opened(browser, jane, "granted")
    with page.expect_response("**/tickets"):
        page.goto("/about")

    with site.program("told@example.com") as provider:
        assert claim(provider, "told", SERVICE) == number
        finish(provider, number, "failed")

    wait_until(lambda: bool(page.evaluate("window.told")), 10)
    assert page.evaluate("window.told") == [
        f'Ticket {number} failed|{{"tag":"dss-ticket-{number}"}}'
    ]
    page.context.close()


def test_permission_is_asked_on_a_click_only(browser: Browser, jane: httpx.Client) -> None:
    page = opened(browser, jane, "default")
    page.goto("/account")
    button = page.get_by_role("button", name="Show messages in this browser")
    button.wait_for()
    assert page.evaluate("window.asked") == 0

    button.click()

    page.get_by_text("This browser shows messages.").wait_for()
    assert page.evaluate("window.asked") == 1
    page.context.close()
