# mypy: allow-untyped-calls
"""Sending from a browser goes on after cut connections, a closed tab and an answer that was lost, and sends nothing twice."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from playwright.sync_api import Browser, Page, Request, Route, expect

from support.builders import image, write_image
from support.send_pages import (
    choose,
    guest,
    inputs,
    offer_two,
    status,
    tickets,
    watched,
)
from support.sites import Site

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]
MB = 2**20
SOON_MS = 30_000
PATCHES = re.compile(r"/uploads/[0-9a-f]{32}$")


@pytest.fixture(scope="module", autouse=True)
def offered(site: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    offer_two(site, tmp_path_factory)


@pytest.fixture
def jane(site: Site, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with guest(site, request.node.name) as client:
        yield client


@pytest.fixture
def page(browser: Browser, jane: httpx.Client) -> Iterator[Page]:
    with watched(browser, jane) as shown:
        yield shown


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_image(tmp_path / "MUELLER_HANS.nii.gz", image())


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """12 MB."""
    noise = np.random.default_rng(1).integers(0, 1000, (96, 256, 256), dtype=np.int16)
    path = tmp_path / "large.nii"
    sitk.WriteImage(sitk.GetImageFromArray(noise), str(path))
    assert path.stat().st_size > 12 * MB
    return path


def test_an_upload_goes_on_after_cuts(page: Page, jane: httpx.Client, large: Path) -> None:
    cuts: list[str] = []

    def cut(route: Route, request: Request) -> None:
        if request.method == "PATCH" and len(cuts) < 3:
            cuts.append(request.url)
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route(PATCHES, cut)
    choose(page, large)
    expect(page.locator("#batch-state")).to_have_text("1 of 1 submitted.", timeout=SOON_MS)

    (number,) = tickets(jane)
    assert len(cuts) == 3
    assert inputs(jane, number)["image.nii"] == large.read_bytes()


def test_an_upload_goes_on_after_the_tab_was_closed(
    browser: Browser, page: Page, jane: httpx.Client, large: Path
) -> None:
    offsets: list[int] = []

    def once(route: Route, request: Request) -> None:
        if request.method == "PATCH":
            offsets.append(int(request.headers["upload-offset"]))
        if request.method == "PATCH" and len(offsets) == 2:
            return  # never answered; the tab is closed meanwhile
        route.continue_()

    page.context.route(PATCHES, once)
    choose(page, large)
    expect(page.locator(".badge")).to_have_text("is sent", timeout=SOON_MS)
    page.wait_for_function("() => document.querySelector('progress').value > 8e6")
    again = page.context.new_page()
    while len(offsets) < 2:
        page.wait_for_timeout(50)
    page.close()

    again.goto("/send")
    choose(again, large)
    expect(again.locator("#batch-state")).to_have_text("1 of 1 submitted.", timeout=SOON_MS)

    (number,) = tickets(jane)
    assert all(offset >= 8 * MB for offset in offsets[2:]), "nothing is sent twice"
    assert inputs(jane, number)["image.nii"] == large.read_bytes()
    assert again.evaluate("localStorage.length") == 0


def test_a_ticket_whose_submission_was_not_answered_is_not_given_up(
    page: Page, jane: httpx.Client, scan: Path
) -> None:
    """The proxy gives up, though the portal has submitted the ticket."""
    lost: list[str] = []

    def lose(route: Route, request: Request) -> None:
        if request.method == "POST" and not lost:
            lost.append(route.fetch().text())
            route.fulfill(status=504, body="<html>Gateway Timeout</html>")
        else:
            route.continue_()

    page.route(re.compile(r"/status$"), lose)
    choose(page, scan)
    expect(page.locator("#batch-state")).to_have_text("1 of 1 submitted.", timeout=SOON_MS)

    (number,) = tickets(jane)
    assert lost
    assert status(jane, number) == "ready"
    assert "Undo" not in jane.get(f"/tickets/{number}").text


def held_submissions(page: Page) -> list[Route]:
    """The first request to submit a ticket, which waits until the test continues it."""
    held: list[Route] = []

    def hold(route: Route, request: Request) -> None:
        if request.method == "POST" and not held:
            held.append(route)
        else:
            route.continue_()

    page.route(re.compile(r"/status$"), hold)
    return held


def test_the_same_file_in_two_tabs_becomes_one_ticket(
    page: Page, jane: httpx.Client, scan: Path
) -> None:
    """The other tab finds the ticket of the first before that is submitted."""
    other = page.context.new_page()
    held = held_submissions(page)
    choose(page, scan)
    while not held:
        page.wait_for_timeout(20)
    other.goto("/send")
    choose(other, scan)
    expect(other.locator("#batch-state")).to_have_text("1 of 1 submitted.", timeout=SOON_MS)
    held[0].continue_()
    expect(page.locator("#batch-state")).to_have_text("1 of 1 submitted.", timeout=SOON_MS)

    (number,) = tickets(jane)
    assert status(jane, number) == "ready"
    assert "Undo" not in jane.get(f"/tickets/{number}").text


def test_the_same_file_twice_in_one_tab_becomes_two_tickets(
    page: Page, jane: httpx.Client, scan: Path
) -> None:
    held = held_submissions(page)
    choose(page, scan)
    while not held:
        page.wait_for_timeout(20)
    choose(page, scan)
    expect(page.locator("#batch-state")).to_have_text("0 of 2 submitted.")
    held[0].continue_()
    expect(page.locator("#batch-state")).to_have_text("2 of 2 submitted.", timeout=SOON_MS)

    assert [status(jane, number) for number in tickets(jane)] == ["ready", "ready"]
