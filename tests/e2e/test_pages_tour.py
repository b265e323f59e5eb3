"""Every page of the table of routes, with a site that has something of everything, at the width of a phone and of a monitor.

With ``DSS_SCREENSHOTS`` set to a folder, pictures of all of them are put there; look at them after each change of a
template or of the style sheet.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Response,
    ViewportSize,
    expect,
)

from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support import showcase, sites
from support.accessibility import violations
from support.brokers import fresh_vhost
from support.browsers import chromium
from support.routes import NOWHERE, page_visits
from support.showcase import Showcase
from support.sites import browse, said, unfold

pytestmark = [pytest.mark.stack]

FIRST_LOAD_BYTES = 150_000
PICTURES = os.environ.get("DSS_SCREENSHOTS")
BARS_PX = 60
"""Height of the navigation on a phone, at most."""
SHORT_PX = 2000
"""Height of the page of three services on a phone, at most."""
PHONE: ViewportSize = {"width": 390, "height": 844}
WIDE: ViewportSize = {"width": 1280, "height": 900}
CONTRAST = ["color-contrast"]
COVERED = """[...document.querySelectorAll(".stack [data-label]")].some((cell) =>
    cell.textContent.trim() && parseFloat(getComputedStyle(cell).paddingLeft) < 80)"""
"""Whether a table that is shown as a list has a cell without room for its label."""


@dataclass
class Seen:
    """Findings on pages.

    ``wide``: what does not fit the screen.  ``bytes`` of a page: all that it loads but images.
    """

    complaints: list[str] = field(default_factory=list)
    wide: list[str] = field(default_factory=list)
    rules: dict[str, list[str]] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)


@pytest.fixture(scope="module")
def shown(
    rabbit: RabbitNode, postgres: PostgresCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Showcase]:
    with fresh_vhost(rabbit) as amqp_url:
        site = sites.start(amqp_url, postgres, tmp_path_factory.mktemp("site"))
        try:
            chest = showcase.FINE if PICTURES else showcase.COARSE
            with showcase.arranged(site, tmp_path_factory.mktemp("offer"), chest) as arranged:
                yield arranged
        finally:
            site.stack.stop()


@pytest.fixture(scope="module")
def root(shown: Showcase) -> Iterator[httpx.Client]:
    with shown.site.program(sites.ROOT, "--sysadmin") as client:
        yield client


@pytest.fixture(scope="module")
def browser(shown: Showcase) -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


def opened(browser: Browser, client: httpx.Client | None, shown: Showcase) -> Page:
    """A page that lets the script of the rules in."""
    options: dict[str, Any] = {"bypass_csp": True, "timezone_id": "Europe/Stockholm"}
    if client is None:
        return browser.new_context(base_url=shown.site.url, **options).new_page()
    return browse(browser, client, **options)


def listen(page: Page, seen: Seen) -> None:
    def said(message: ConsoleMessage) -> None:
        expected = NOWHERE in page.url or "GPU stall" in message.text or "WebGL" in message.text
        if message.type in {"error", "warning"} and not expected:
            seen.complaints.append(f"{page.url}: {message.text}")

    def loaded(answer: Response) -> None:
        if answer.ok and answer.request.resource_type not in {"image", "eventsource"}:
            size = int(answer.headers.get("content-length", 0))
            seen.bytes[page.url] = seen.bytes.get(page.url, 0) + size

    page.on("console", said)
    page.on("pageerror", lambda error: seen.complaints.append(f"{page.url}: {error}"))
    page.on("response", loaded)


def look(page: Page, path: str, who: str, seen: Seen) -> None:
    """Check the page at each width, in light and dark: take pictures, find what is too wide, apply the rules."""
    page.set_viewport_size(PHONE)
    page.goto(path)
    if path == "/send":
        page.locator("#batch-rows tr").first.wait_for()
    name = re.sub(r"\W+", "-", path).strip("-") or "home"
    if PICTURES:
        take_pictures(page, f"{who}-{name}")
    unfold(page)
    seen.rules[f"{path} on a phone"] = violations(page)
    require_fit(page, path, seen)
    page.emulate_media(color_scheme="dark")
    seen.rules[f"{path} in the dark"] = violations(page, CONTRAST)
    page.set_viewport_size(WIDE)
    page.emulate_media(color_scheme="light")
    seen.rules[f"{path} on a monitor"] = violations(page, CONTRAST)
    require_fit(page, path, seen)


def require_fit(page: Page, path: str, seen: Seen) -> None:
    width = page.evaluate("innerWidth")
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        seen.wide.append(f"{path} at {width}")
    if width == PHONE["width"] and page.evaluate(COVERED):
        seen.wide.append(f"a label covers its cell on {path}")
    bars = page.locator(".bars").bounding_box()
    if width == PHONE["width"] and (bars is None or bars["height"] > BARS_PX):
        seen.wide.append(f"the navigation of {path}")


def take_pictures(page: Page, name: str) -> None:
    for size in (PHONE, WIDE):
        page.set_viewport_size(size)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            page.wait_for_timeout(100)  # the viewer draws anew
            path = Path(str(PICTURES)) / f"{name}-{size['width']}-{scheme}.png"
            page.screenshot(path=path, full_page=True)
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme="light")


def test_every_page_is_fit_to_be_seen(
    browser: Browser, shown: Showcase, root: httpx.Client
) -> None:
    seen = Seen()

    for who, paths in page_visits(shown).items():
        page = opened(browser, {"user": shown.user, "root": root}.get(who), shown)
        listen(page, seen)
        for path in paths:
            look(page, path, who, seen)
        page.context.close()

    assert seen.complaints == []
    assert seen.wide == []
    assert {where: lines for where, lines in seen.rules.items() if lines} == {}
    heavy = {url: n for url, n in seen.bytes.items() if n > FIRST_LOAD_BYTES and "/view" not in url}
    assert heavy == {}
    assert max(seen.bytes.values()) > 0


def test_the_page_of_services_is_short_and_its_parts_unfold_without_script(
    browser: Browser, shown: Showcase
) -> None:
    page = browse(browser, shown.user, java_script_enabled=False)
    page.set_viewport_size(PHONE)

    page.goto("/services")

    body = page.locator("body").bounding_box()
    assert body is not None
    assert body["height"] < SHORT_PX
    accuracy = page.get_by_text("Dice 0.97").first
    expect(accuracy).to_be_hidden()
    page.get_by_text("About this service").first.click()
    expect(accuracy).to_be_visible()
    page.context.close()


def test_a_batch_tells_of_each_case_how_far_it_is_and_why(
    browser: Browser, shown: Showcase
) -> None:
    page = browse(browser, shown.user)

    page.goto("/send")

    rows = page.locator("#batch-rows tr")
    expect(rows).to_have_count(len(showcase.CASES))
    told = {
        shown.warned: "done look at it",
        shown.waiting: "queued Nobody serves this at present",
        shown.failed: "failed The image has values from 0 to 255",
        shown.at_work: "at work",
    }
    for number, words in told.items():
        link = page.get_by_role("link", name=f"Ticket {number}", exact=True)
        state = rows.filter(has=link).locator("[data-label=State]").inner_text()
        assert " ".join(state.split()).startswith(words)
    expect(page.get_by_role("link", name="Choose a series")).to_have_count(1)
    expect(page.get_by_role("link", name="Replace the files")).to_have_count(1)
    page.context.close()


def test_the_page_of_a_ticket_prints_as_a_report(browser: Browser, shown: Showcase) -> None:
    page = browse(browser, shown.user, color_scheme="dark")
    page.goto(f"/tickets/{shown.good}")

    page.emulate_media(media="print")

    for name in ("Services", "Delete", "Download"):
        expect(page.get_by_role("link", name=name)).to_have_count(0)
    for selector in (".bars", ".answer", "#naming", "#input-files", "#log summary"):
        expect(page.locator(selector).first).to_be_hidden()
    for words in ("Phantom, first visit", "lung-segmentation 1.1.0", "left lung", "right upper"):
        expect(page.get_by_text(words).first).to_be_visible()
    expect(page.get_by_text("No flag.")).to_be_visible()
    expect(page.locator(".picture img")).to_be_visible()
    expect(page.locator(".paper")).to_contain_text(f"/tickets/{shown.good}")
    look = "e => [getComputedStyle(e).backgroundColor, getComputedStyle(e).color]"
    assert page.locator("body").evaluate(look) == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"]
    page.context.close()


def test_the_report_that_a_service_asked_for_opens_within_its_sandbox(
    browser: Browser, shown: Showcase
) -> None:
    page = browse(browser, shown.user)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(f"/tickets/{shown.good}")
    unfold(page)

    page.get_by_role("link", name="Report", exact=True).click()

    page.get_by_role("heading", name=f"Ticket {shown.good}: lung-segmentation 1.1.0").wait_for()
    assert page.locator("img").evaluate("image => image.naturalWidth") > 0
    assert "right upper" in page.locator("body").inner_text()
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / "report.png", full_page=True)
    assert complaints == []
    page.context.close()


def test_a_failed_ticket_is_retried_by_one_click_and_a_deletion_undone(
    browser: Browser, shown: Showcase
) -> None:
    page = browse(browser, shown.user)
    page.goto("/tickets")
    row = page.locator(f"#ticket-{shown.failed}")

    row.get_by_role("link", name=f"Delete ticket {shown.failed}").click()
    page.get_by_role("button", name="Delete the ticket").click()
    row.get_by_role("button", name=f"Undo the deletion of ticket {shown.failed}").click()
    assert said(page) == f"Ticket {shown.failed} stays."
    row.get_by_role("button", name=f"Retry ticket {shown.failed}").click()

    assert said(page) == f"Ticket {shown.failed} waits again."
    expect(page.locator(".stages [aria-current=step]")).to_contain_text("Waiting")
    page.context.close()


def test_lines_of_a_level_are_hidden_and_stay_so_while_the_page_moves(
    browser: Browser, shown: Showcase
) -> None:
    page = browse(browser, shown.user)
    page.goto(f"/tickets/{shown.at_work}")
    page.locator("#log summary").click()
    before = page.locator("#log li").count()

    page.get_by_label("info").uncheck()
    shown.site.sql(
        "INSERT INTO ticket_log (ticket_id, at, category, message) "
        "VALUES ($1, now(), 'info', 'Hidden.'), ($1, now(), 'warning', 'Seen.')",
        shown.at_work,
    )

    expect(page.locator("#log li")).to_have_count(before + 2)
    expect(page.get_by_text("Seen.")).to_be_visible()
    expect(page.get_by_text("Hidden.")).to_be_hidden()
    page.context.close()
