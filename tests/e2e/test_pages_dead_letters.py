"""Dead letters in a browser: put back and discarded with the keyboard alone."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from dss_broker.messages import ServiceAnnounced
from dss_broker.rabbit import RabbitBroker
from support.sites import Site, browse, said
from support.waiting import wait_until

pytestmark = [pytest.mark.stack]

BROKEN = ServiceAnnounced(service="x", provider="dss", instance="i", descriptor={"name": 1})


@pytest.fixture
def page(browser: Browser, root: httpx.Client) -> Iterator[Page]:
    shown = browse(browser, root)
    yield shown
    shown.context.close()


@pytest.fixture
def letter(site: Site, root: httpx.Client) -> Iterator[str]:
    """The id of the only dead letter."""
    broker = RabbitBroker(site.stack.amqp_url, "test", "pages")
    broker.publish(BROKEN, message_id="broken").result(15)
    wait_until(lambda: "broken" in listed(root), 15, site.stack.logs)
    broker.close()
    yield "broken"
    root.post("/api/admin/dead-letters/discard", data={"all": "1", "confirm": "1"})


def listed(root: httpx.Client) -> str:
    return root.get("/api/admin/dead-letters").text


def test_a_letter_is_requeued_and_discarded_with_the_keyboard_alone(
    page: Page, root: httpx.Client, site: Site, letter: str
) -> None:
    page.goto("/admin")
    page.get_by_role("link", name="Dead letters").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/admin/dead-letters")
    assert "ServiceAnnounced" in page.locator("table").inner_text()

    page.get_by_role("button", name=f"Requeue message {letter}").focus()
    page.keyboard.press("Enter")
    assert said(page) == "1 message was requeued."
    wait_until(lambda: letter in listed(root), 15, site.stack.logs)  # it broke its handler again

    page.reload()
    page.get_by_role("link", name=f"Discard message {letter}").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Discard").focus()
    page.keyboard.press("Enter")
    assert said(page) == "1 message was discarded."
    assert listed(root) == ""


def test_an_open_page_shows_that_a_letter_was_discarded_elsewhere(
    page: Page, root: httpx.Client, letter: str
) -> None:
    page.goto("/admin/dead-letters")
    letters = page.locator("#letters")
    expect(letters).to_contain_text(letter)
    letters.evaluate("each => { each.dataset.liveS = 1; }")  # instead of 20 s

    root.post("/api/admin/dead-letters/discard", data={"id": letter, "confirm": "1"})

    expect(letters).to_contain_text("There is none.")


def test_a_letter_is_not_discarded_by_another_sites_form(
    root: httpx.Client, site: Site, letter: str
) -> None:
    forged = root.post(
        "/admin/dead-letters/discard", data={"id": letter}, headers={"Origin": "https://evil"}
    )

    assert "Requests from other web sites are not accepted." in forged.text
    assert letter in listed(root)


def test_dead_letters_are_shown_to_sysadmins_only(site: Site) -> None:
    with site.program("ann@example.com") as ann:
        assert ann.get("/admin/dead-letters").status_code == httpx.codes.UNAUTHORIZED
