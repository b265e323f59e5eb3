# mypy: allow-untyped-calls
"""Sending from a browser over connections that are cut, from tabs that are closed, and from two at once."""

import re
from pathlib import Path

import httpx
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
from playwright.sync_api import Browser, Page, Request, Route, expect

from support import send_pages
from support.builders import image, write_image
from support.cut_wires import cut_wire, silent_wire
from support.send_pages import (
    OTHER,
    SERVICE,
    SOON_MS,
    TWO,
    check_only,
    choose,
    held_declarations,
    inputs,
    queued,
    same_voxels,
    shoot,
    status,
    tickets,
    volume,
)
from support.sites import Site, browse

pytestmark = [pytest.mark.stack]
MB = 2**20
CREATION = re.compile(r"/api/tickets$")
PATCHES = re.compile(r"/uploads/[0-9a-f]{32}$")

offered = send_pages.offered
jane = send_pages.jane
page = send_pages.page
scan = send_pages.scan


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """12 MB."""
    noise = np.random.default_rng(1).integers(0, 1000, (96, 256, 256), dtype=np.int16)
    path = tmp_path / "large.nii"
    sitk.WriteImage(sitk.GetImageFromArray(noise), str(path))
    assert path.stat().st_size > 12 * MB
    return path


def test_an_upload_goes_on_after_cuts(
    page: Page, jane: httpx.Client, large: Path, tmp_path: Path
) -> None:
    cuts: list[str] = []

    def cut(route: Route, request: Request) -> None:
        if request.method == "PATCH" and len(cuts) < 3:
            cuts.append(request.url)
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route(PATCHES, cut)
    choose(page, large)
    queued(page, "1 of 1 queued.")

    (number,) = tickets(jane)
    assert len(cuts) == 3
    assert same_voxels(volume(jane, number, tmp_path), sitk.ReadImage(str(large)))


PAUSES = """
window.pauses = [];
const later = window.setTimeout;
window.setTimeout = (act, ms, ...rest) => {
  const watches = ms >= 20000; // for silence, which is no pause
  if (new Error().stack.includes("transfer.js") && !watches) window.pauses.push(ms);
  return later(act, ms, ...rest);
};
"""


def test_after_each_cut_that_brought_something_the_pause_is_short(
    browser: Browser, site: Site, jane: httpx.Client, tmp_path: Path
) -> None:
    """The smallest part has 1 MB, and every connection is cut after 400 kB: no part passes in one piece."""
    noise = np.random.default_rng(1).integers(0, 1000, (24, 256, 256), dtype=np.int16)
    path = tmp_path / "three-mb.nii"
    sitk.WriteImage(sitk.GetImageFromArray(noise), str(path))
    shown = browse(browser, jane)
    shown.add_init_script(PAUSES)
    with cut_wire(site.url, 400_000) as wire:
        shown.goto(f"{wire.url}/send")
        choose(shown, path)
        queued(shown, "1 of 1 queued.")
        pauses_ms = shown.evaluate("pauses")
        shown.context.close()

    (number,) = tickets(jane)
    assert len(pauses_ms) >= 5
    assert max(pauses_ms) <= 2000
    assert wire.sent_bytes < path.stat().st_size + 16 * MB
    assert same_voxels(volume(jane, number, tmp_path), sitk.ReadImage(str(path)))


def test_an_upload_goes_on_after_a_line_that_was_lost_without_a_word(
    browser: Browser, site: Site, jane: httpx.Client, large: Path, tmp_path: Path
) -> None:
    """No end of the connection is told: without a watch the browser would wait for many minutes."""
    shown = browse(browser, jane)
    with silent_wire(site.url, 5 * MB) as wire:
        shown.goto(f"{wire.url}/send")
        choose(shown, large)
        queued(shown, "1 of 1 queued.")
        shown.context.close()

    (number,) = tickets(jane)
    assert wire.sent_bytes > large.stat().st_size
    assert same_voxels(volume(jane, number, tmp_path), sitk.ReadImage(str(large)))


def test_a_ticket_whose_creation_was_not_answered_stays_the_only_one(
    page: Page, jane: httpx.Client, scan: Path
) -> None:
    lost: list[str] = []

    def lose(route: Route, request: Request) -> None:
        if request.method == "POST" and len(lost) < 2:
            lost.append(route.fetch().text())
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route(CREATION, lose)
    choose(page, scan)
    queued(page, "1 of 1 queued.")

    (number,) = tickets(jane)
    assert lost == [str(number)] * 2
    assert page.evaluate("localStorage.length") == 0


def test_an_upload_goes_on_after_the_tab_was_closed(
    page: Page, jane: httpx.Client, large: Path, scan: Path, tmp_path: Path
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
    page.wait_for_function("() => document.querySelector('progress')?.value > 8e6")
    again = page.context.new_page()
    while len(offsets) < 2:
        page.wait_for_timeout(50)
    page.close()

    again.goto("/send")
    expect(again.locator("#again-names")).to_have_text("large.nii", timeout=SOON_MS)
    expect(again.locator("#batch-rows")).to_contain_text("files wanted")
    shoot(again, "send-again")
    again.set_input_files("#again-files-input", [str(scan), str(large)])
    queued(again, "1 of 1 queued.")

    (number,) = tickets(jane)
    assert all(offset >= 8 * MB for offset in offsets[2:]), "nothing is sent twice"
    assert same_voxels(volume(jane, number, tmp_path), sitk.ReadImage(str(large)))
    assert again.evaluate("localStorage.length") == 0


def test_a_file_for_two_services_is_asked_for_once(page: Page, scan: Path) -> None:
    other = page.context.new_page()
    held_declarations(page)
    choose(page, scan, services=(SERVICE, OTHER))
    expect(page.locator("#batch-rows tr")).to_have_count(2)

    other.goto("/send")
    expect(other.locator("#batch-rows tr")).to_have_count(2, timeout=SOON_MS)
    expect(other.locator("#again-names")).to_have_text(scan.name, timeout=SOON_MS)


def test_a_case_with_a_tag_goes_on_after_the_tab_was_closed(
    page: Page, jane: httpx.Client, scan: Path, tmp_path: Path
) -> None:
    other = write_image(tmp_path / "pet.nrrd", image())
    held: list[Route] = []

    def hold(
        route: Route,
    ) -> None:  # Playwright marks a function, which a built-in method does not bear
        held.append(route)

    page.context.route(PATCHES, hold)
    check_only(page, (TWO,))
    page.get_by_label("PET").set_input_files(str(other))
    choose(page, scan, services=(TWO,))
    again = page.context.new_page()
    while not held:
        page.wait_for_timeout(50)
    page.close()
    again.context.unroute(PATCHES)

    again.goto("/send")
    names = again.locator("#again-names")
    expect(names).to_have_text(f"{scan.name} with its image for PET", timeout=SOON_MS)
    again.set_input_files("#again-files-input", [str(scan)])
    expect(again.locator("#batch-state")).to_contain_text("goes when all of them were chosen")
    again.set_input_files("#again-files-input", [str(other)])
    queued(again, "1 of 1 queued.")

    (number,) = tickets(jane)
    assert any(b'value="PET"' in data for data in inputs(jane, number).values())
    assert again.evaluate("localStorage.length") == 0


def test_what_was_uploaded_goes_on_without_the_page(
    page: Page, jane: httpx.Client, scan: Path
) -> None:
    """The tab is closed before the answer to the last byte."""
    held: list[Route] = []

    def hold(route: Route, request: Request) -> None:
        if request.method == "PATCH":
            route.fetch()
            held.append(route)
        else:
            route.continue_()

    page.context.route(PATCHES, hold)
    other = page.context.new_page()
    choose(page, scan)
    while not held:
        page.wait_for_timeout(20)
    page.close()

    other.goto("/send")
    queued(other, "1 of 1 queued.")
    assert [status(jane, number) for number in tickets(jane)] == ["ready"]


def test_a_declaration_whose_answer_was_lost_is_repeated(
    page: Page, jane: httpx.Client, scan: Path
) -> None:
    lost: list[str] = []

    def lose(route: Route, request: Request) -> None:
        if request.method == "POST" and not lost:
            lost.append(route.fetch().text())
            route.fulfill(status=504, body="<html>Gateway Timeout</html>")
        else:
            route.continue_()

    page.route(re.compile(r"/intake$"), lose)
    choose(page, scan)
    queued(page, "1 of 1 queued.")

    (number,) = tickets(jane)
    assert lost == ["success"]
    assert status(jane, number) == "ready"


def test_the_same_file_in_two_tabs_becomes_one_ticket(
    page: Page, jane: httpx.Client, scan: Path
) -> None:
    """The other tab finds the ticket of the first before its files have come."""
    other = page.context.new_page()
    held = held_declarations(page)
    choose(page, scan)
    while not held:
        page.wait_for_timeout(20)
    other.goto("/send")
    expect(other.locator("#again-names")).to_have_text(scan.name, timeout=SOON_MS)
    choose(other, scan)
    queued(other, "1 of 1 queued.")
    held[0].continue_()
    queued(page, "1 of 1 queued.")

    (number,) = tickets(jane)
    assert status(jane, number) == "ready"
    assert "Undo" not in jane.get(f"/tickets/{number}").text


def test_the_same_file_twice_in_one_tab_becomes_two_tickets(
    page: Page, jane: httpx.Client, scan: Path
) -> None:
    held = held_declarations(page)
    choose(page, scan)
    while not held:
        page.wait_for_timeout(20)
    choose(page, scan)
    held[0].continue_()
    queued(page, "2 of 2 queued.")

    assert [status(jane, number) for number in tickets(jane)] == ["ready", "ready"]


def test_a_ticket_whose_files_have_all_come_is_not_deleted_after_an_error(
    page: Page, jane: httpx.Client, scan: Path
) -> None:
    refused: list[str] = []

    def refuse(route: Route, request: Request) -> None:
        if request.method != "PATCH":
            return route.continue_()
        route.fetch()
        refused.append(request.url)
        return route.fulfill(status=400, body="The ticket's images have been read already.")

    page.route(PATCHES, refuse)
    choose(page, scan)
    queued(page, "1 of 1 queued.")

    assert len(refused) == 1
    assert [status(jane, number) for number in tickets(jane)] == ["ready"]
