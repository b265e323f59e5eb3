"""Pages that move by themselves in a browser, and the rules of accessibility on every page."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from dss_portal.formats import duration
from support.sites import Site, attach, browse, claim, finish, new_ticket, unfold

pytestmark = [pytest.mark.stack]

SERVICE = "live-lungs"
UNASKED = """
    const repeat = window.setInterval;
    window.setInterval = (act, ms, ...rest) => (ms === 5000 ? 0 : repeat(act, ms, ...rest));
"""
"""Pages do not ask every POLL_MS of live.js, so that only the stream can show a change, however slow the machine is."""


@pytest.fixture(scope="module", autouse=True)
def offered(site: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    site.offer(tmp_path_factory.mktemp("offer"), "live", name=SERVICE)


@pytest.fixture(scope="module")
def provider(site: Site, root: httpx.Client, offered: None) -> Iterator[httpx.Client]:
    with site.program("live@example.com") as client:
        added = root.post("/api/admin/providers/live/users", data={"email": "live@example.com"})
        assert added.is_success, added.text
        yield client


@pytest.fixture(scope="module")
def jane(site: Site) -> Iterator[httpx.Client]:
    """Her tickets are gone afterwards: others count those of the same site."""
    with site.program("jane@example.com", "--tier", "poweruser") as client:
        yield client
        for row in client.get("/api/tickets").text.splitlines():
            client.get(f"/api/tickets/{row.partition(',')[0]}/delete")


@pytest.fixture
def page(browser: Browser, jane: httpx.Client) -> Iterator[Page]:
    """Changes come by the stream only."""
    shown = browse(browser, jane)
    shown.context.add_init_script(UNASKED)
    yield shown
    shown.context.close()


@pytest.fixture
def asking(browser: Browser, jane: httpx.Client) -> Iterator[Page]:
    """It asks for changes where no stream comes through."""
    shown = browse(browser, jane)
    yield shown
    shown.context.close()


def test_a_ticket_s_page_moves_from_waiting_to_its_result(
    page: Page, jane: httpx.Client, provider: httpx.Client
) -> None:
    number = new_ticket(jane, SERVICE)
    page.goto(f"/tickets/{number}")
    stage = page.locator(".stages [aria-current=step]")
    expect(stage).to_contain_text("Waiting")
    page.evaluate("window.same = true")

    assert claim(provider, "live", SERVICE) == number
    expect(stage).to_contain_text("At work")
    attach(provider, number, "found.csv", b"a,b\n1,2\n", "Findings")
    provider.post(f"/api/pro/tickets/{number}/info", data={"message": "Half way."})
    unfold(page)
    expect(page.locator(".log")).to_contain_text(["Half way."])
    finish(provider, number, "success")

    expect(page.locator("#results")).to_be_visible()
    assert page.evaluate("window.same"), "the page was loaded anew"
    assert page.locator("#log").get_attribute("open") is not None, "what was unfolded was folded"


def test_what_is_typed_stays_while_the_page_moves(
    page: Page, jane: httpx.Client, provider: httpx.Client
) -> None:
    number = new_ticket(jane, SERVICE)
    page.goto(f"/tickets/{number}")
    page.get_by_text("Name this ticket").click()
    page.get_by_label("Name", exact=True).fill("Phantom")

    claim(provider, "live", SERVICE)
    expect(page.locator(".stages [aria-current=step]")).to_contain_text("At work")

    assert page.get_by_label("Name", exact=True).input_value() == "Phantom"
    assert page.evaluate("document.activeElement.id") == "title"
    finish(provider, number, "failed")


def test_the_list_and_the_first_page_move_too(
    page: Page, jane: httpx.Client, provider: httpx.Client
) -> None:
    for path in ("/tickets", "/"):
        page.goto(path)
        page.wait_for_timeout(300)  # the stream begins

        number = new_ticket(jane, SERVICE)
        row = page.locator(f"#ticket-{number}")
        expect(row).to_contain_text("waiting")
        claim(provider, "live", SERVICE)
        expect(row).to_contain_text("at work")
        finish(provider, number, "failed")
        expect(row).to_contain_text("failed")


def test_tabs_share_one_stream(page: Page, jane: httpx.Client, provider: httpx.Client) -> None:
    other = page.context.new_page()
    requests: list[str] = []
    page.context.on("request", lambda r: requests.append(r.url))
    for tab in (page, other):
        tab.goto("/tickets")
    page.wait_for_timeout(500)

    number = new_ticket(jane, SERVICE)
    for tab in (page, other):
        expect(tab.locator(f"#ticket-{number}")).to_be_visible()

    assert len([url for url in requests if url.endswith("/live")]) == 1
    claim(provider, "live", SERVICE)
    finish(provider, number, "failed")


def test_the_next_tab_listens_when_the_first_is_closed(
    page: Page, jane: httpx.Client, provider: httpx.Client
) -> None:
    other = page.context.new_page()
    page.goto("/tickets")
    page.wait_for_timeout(300)
    other.goto("/tickets")
    page.close()
    other.wait_for_timeout(500)

    number = new_ticket(jane, SERVICE)
    expect(other.locator(f"#ticket-{number}")).to_be_visible()
    claim(provider, "live", SERVICE)
    finish(provider, number, "failed")


def test_where_a_proxy_swallows_the_stream_the_page_is_asked_for_again(
    asking: Page, jane: httpx.Client, provider: httpx.Client
) -> None:
    swallowed: list[Route] = []

    def swallow(route: Route) -> None:
        """Neither an answer nor an end, as from one that buffers."""
        swallowed.append(route)

    asking.route("**/live", swallow)
    asking.goto("/tickets")

    number = new_ticket(jane, SERVICE)

    expect(asking.locator(f"#ticket-{number}")).to_be_visible()
    assert swallowed
    claim(provider, "live", SERVICE)
    finish(provider, number, "failed")


def test_a_change_before_the_stream_is_open_is_shown_all_the_same(
    page: Page, jane: httpx.Client, provider: httpx.Client
) -> None:
    number = new_ticket(jane, SERVICE)
    before: list[int] = []

    def hold(route: Route) -> None:
        """Let the change come first, and be told to the streams that there are."""
        if not before:
            before.append(claim(provider, "live", SERVICE))
            page.wait_for_timeout(800)
        route.continue_()

    page.route("**/live", hold)
    page.goto(f"/tickets/{number}")

    expect(page.locator(".stages [aria-current=step]")).to_contain_text("At work")
    assert before == [number]
    finish(provider, number, "failed")


def test_a_stream_that_was_cut_is_opened_again(
    page: Page, jane: httpx.Client, provider: httpx.Client
) -> None:
    opened: list[Route] = []

    def cut(route: Route) -> None:
        """The first one ends after its first event."""
        opened.append(route)
        if len(opened) > 1:
            route.continue_()
        else:
            beat = "retry: 200\nevent: beat\ndata: hello\n\n"
            route.fulfill(content_type="text/event-stream", body=beat)

    page.route("**/live", cut)
    page.goto("/tickets")
    page.wait_for_timeout(3000)  # the page has loaded itself again, as each one does after a second

    number = new_ticket(jane, SERVICE)

    expect(page.locator(f"#ticket-{number}")).to_be_visible()
    assert len(opened) > 1
    claim(provider, "live", SERVICE)
    finish(provider, number, "failed")


def test_a_page_is_asked_for_again_when_its_times_are_old_until_the_ticket_ends(
    page: Page, jane: httpx.Client, provider: httpx.Client
) -> None:
    """Time passes without a change that anybody commits."""
    number = new_ticket(jane, SERVICE)
    page.goto(f"/tickets/{number}")
    ticket = page.locator("#ticket")
    expect(ticket).to_have_attribute("data-live-s", "300")
    page.wait_for_timeout(3000)

    with page.expect_request(re.compile(rf"/tickets/{number}$")):
        ticket.evaluate("part => { part.dataset.liveS = '1'; }")

    claim(provider, "live", SERVICE)
    finish(provider, number, "failed")
    expect(ticket).not_to_have_attribute("data-live-s", re.compile("."))


def test_the_time_in_a_stage_grows_in_the_words_of_the_portal(
    page: Page, jane: httpx.Client, provider: httpx.Client
) -> None:
    """The browser and the portal must write each duration alike, whichever of the two has written it last."""
    number = new_ticket(jane, SERVICE)
    page.goto(f"/tickets/{number}")
    waits = page.locator(".stages [data-seconds]")
    for seconds in (2.4, 58, 61, 3598, 3600, 7261.2, 86395, 97200):
        waits.evaluate("(part, seconds) => { part.dataset.seconds = seconds; }", seconds)
        words = {re.escape(duration(seconds + later)) for later in range(120)}
        expect(waits).to_have_text(re.compile(f"^({'|'.join(words)})$"))

    waits.evaluate("part => { part.dataset.seconds = 60; }")
    page.wait_for_timeout(2100)

    assert waits.inner_text() != duration(60)
    claim(provider, "live", SERVICE)
    finish(provider, number, "failed")


def test_over_plain_http_pages_ask_and_hold_no_connection_each(
    asking: Page, jane: httpx.Client, provider: httpx.Client
) -> None:
    """Browsers have no locks there, so each tab would have a stream of its own, and a host has six connections."""
    asking.context.add_init_script("Object.defineProperty(navigator, 'locks', {value: undefined})")
    requests: list[str] = []
    asking.context.on("request", lambda r: requests.append(r.url))
    asking.goto("/tickets")

    number = new_ticket(jane, SERVICE)

    expect(asking.locator(f"#ticket-{number}")).to_be_visible()
    assert not [url for url in requests if url.endswith("/live")]
    claim(provider, "live", SERVICE)
    finish(provider, number, "failed")


def test_without_script_a_reload_shows_the_same(
    browser: Browser, site: Site, jane: httpx.Client, provider: httpx.Client
) -> None:
    cookie = next(c for c in jane.cookies.jar if c.name == "webpy_session_id")
    context = browser.new_context(base_url=site.url, java_script_enabled=False)
    context.add_cookies([{"name": cookie.name, "value": cookie.value or "", "url": site.url}])
    shown = context.new_page()
    number = new_ticket(jane, SERVICE)
    shown.goto(f"/tickets/{number}")
    assert "Waiting" in shown.locator(".stages [aria-current=step]").inner_text()
    assert re.search(r"\d\d:\d\d:\d\d UTC", shown.locator(".what").inner_text())

    claim(provider, "live", SERVICE)
    finish(provider, number, "success")
    shown.reload()

    with shown.expect_download() as download:
        shown.get_by_role("link", name=re.compile("^Download")).click()
    assert download.value.suggested_filename == f"ticket_{number:08d}.zip"
    context.close()


def test_times_are_those_of_the_reader_with_their_zone(
    browser: Browser, site: Site, jane: httpx.Client, provider: httpx.Client
) -> None:
    number = new_ticket(jane, SERVICE)
    site.sql("UPDATE ticket SET created_at = '2026-07-01 12:00:00+00' WHERE id = $1", number)
    cookie = next(c for c in jane.cookies.jar if c.name == "webpy_session_id")
    context = browser.new_context(base_url=site.url, timezone_id="Asia/Tokyo")
    context.add_cookies([{"name": cookie.name, "value": cookie.value or "", "url": site.url}])
    shown = context.new_page()
    shown.goto(f"/tickets/{number}")

    assert "2026-07-01 21:00:00 GMT+9" in shown.locator(".what").inner_text()
    context.close()
    claim(provider, "live", SERVICE)
    finish(provider, number, "failed")
