# mypy: allow-untyped-calls
"""What the page /send and the portal refuse: wrong, growing, hostile and too many files."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from support.builders import image, write_image
from support.send_pages import (
    SERVICE,
    check_only,
    choose,
    guest,
    offer_two,
    tickets,
    watched,
)
from support.sites import Site

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]
SOON_MS = 30_000


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


def test_several_workspaces_at_once_are_not_sent_in_pieces(
    page: Page, jane: httpx.Client, tmp_path: Path
) -> None:
    files = [tmp_path / "one.itksnap", tmp_path / "two.itksnap"]
    for file in files:
        file.write_bytes(b"<registry/>")

    choose(page, *files)

    expect(page.locator("#batch-rows tr").first).to_contain_text("one workspace at a time")
    expect(page.locator("#retry")).to_be_hidden()
    assert tickets(jane) == []


def test_wrong_files_are_refused_before_there_is_a_ticket(
    page: Page, jane: httpx.Client, scan: Path, tmp_path: Path
) -> None:
    letter, dicom = tmp_path / "letter.nii.gz", tmp_path / "IM0001.dcm"
    letter.write_bytes(b"Dear colleague")
    dicom.write_bytes(bytes(128) + b"DICM")

    choose(page, letter, dicom)
    expect(page.locator("#batch-state")).to_have_text("0 of 2 submitted, 2 not sent.")

    expect(page.locator("#batch-rows tr").first).to_contain_text(
        "This is not a NIfTI file (.nii, .nii.gz)."
    )
    expect(page.locator("#batch-rows tr").last).to_contain_text("sent by the program dss")
    assert tickets(jane) == []


def test_what_waits_for_a_free_place_goes_when_there_is_one(
    site: Site, page: Page, jane: httpx.Client, scan: Path, tmp_path: Path
) -> None:
    other = write_image(tmp_path / "other.nii.gz", image())
    before = site.sql("SELECT max_tickets FROM tier WHERE name = 'guest'")[0][0]
    site.sql("UPDATE tier SET max_tickets = 1 WHERE name = 'guest'")
    try:
        choose(page, scan, other)
        expect(page.locator("#batch-rows")).to_contain_text(
            "waits for a free place", timeout=SOON_MS
        )
        expect(page.locator("#batch-state")).to_have_text("1 of 2 submitted.", timeout=SOON_MS)
        jane.get(f"/api/tickets/{tickets(jane)[0]}/delete")
        expect(page.locator("#batch-state")).to_have_text("2 of 2 submitted.", timeout=SOON_MS)
    finally:
        site.sql("UPDATE tier SET max_tickets = $1 WHERE name = 'guest'", before)


def test_a_file_that_grows_after_it_was_chosen_is_refused_and_can_be_retried(
    page: Page, jane: httpx.Client, scan: Path
) -> None:
    page.set_input_files("#files", str(scan))
    assert page.evaluate("document.getElementById('files').files[0].size") == scan.stat().st_size
    with scan.open("ab") as file:
        file.write(b"more")
    later_s = scan.stat().st_mtime + 60  # Chromium compares whole seconds
    os.utime(scan, (later_s, later_s))
    check_only(page, (SERVICE,))
    page.click("#send-button")

    expect(page.locator("#batch-rows")).to_contain_text("has changed or gone since it was chosen")
    assert tickets(jane) == []
    page.click("#retry button")
    expect(page.locator("#batch-state")).to_have_text("0 of 1 submitted, 1 not sent.")


def test_what_the_portal_refuses_leaves_no_ticket(
    page: Page, jane: httpx.Client, tmp_path: Path
) -> None:
    path = tmp_path / "cut.nii.gz"
    path.write_bytes(b"\x1f\x8bnot a gzip file")

    choose(page, path)
    expect(page.locator("#batch-rows")).to_contain_text(
        "The file is no NIfTI file", timeout=SOON_MS
    )

    page.goto("/tickets")
    expect(page.locator("main")).to_contain_text("undo", ignore_case=True)


def test_a_hostile_name_is_only_text(page: Page, jane: httpx.Client, scan: Path) -> None:
    hostile = scan.with_name("<img src=x onerror=alert(1)>'\".nii.gz")
    scan.rename(hostile)
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))

    choose(page, hostile)
    expect(page.locator("#batch-state")).to_have_text("1 of 1 submitted.", timeout=SOON_MS)

    expect(page.locator("#batch-rows")).to_contain_text(hostile.name)
    assert page.locator("#batch-rows img").count() == 0
    page.locator("#batch-rows a").click()
    expect(page.locator(".name")).to_have_text(hostile.name)


def test_a_form_of_another_page_sends_nothing(jane: httpx.Client, scan: Path) -> None:
    answer = jane.post(
        "/send",
        data={"form_token": "forged", "service": SERVICE},
        files={"myfile": (scan.name, scan.read_bytes())},
    )

    assert "This form is too old" in answer.text
    assert tickets(jane) == []
