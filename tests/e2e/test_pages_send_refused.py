# mypy: allow-untyped-calls
"""Sending from a browser: a full quota, wrong, changed and hostile files."""

import os
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from support import send_pages
from support.builders import image, write_image
from support.send_pages import (
    SERVICE,
    SOON_MS,
    choose,
    held_declarations,
    queued,
    shoot,
    status,
    tickets,
)
from support.sites import Site

pytestmark = [pytest.mark.stack]
KINDS = "NIfTI (.nii, .nii.gz), NRRD, MetaImage, DICOM, or a zip of DICOM files"

offered = send_pages.offered
jane = send_pages.jane
page = send_pages.page
scan = send_pages.scan


def test_several_workspaces_at_once_are_not_sent_in_pieces(
    page: Page, jane: httpx.Client, tmp_path: Path
) -> None:
    files = [tmp_path / "one.itksnap", tmp_path / "two.itksnap"]
    for file in files:
        file.write_bytes(b"<registry/>")

    choose(page, *files)

    expect(page.locator("#refused")).to_contain_text("two.itksnap: Send one workspace at a time")
    assert tickets(jane) == []


def test_wrong_files_are_refused_one_by_one_before_there_is_a_ticket(
    page: Page, jane: httpx.Client, scan: Path, tmp_path: Path
) -> None:
    letter, page_, empty = (tmp_path / name for name in ("letter.nii.gz", "a.html", "e.nii"))
    letter.write_bytes(b"Dear colleague")
    page_.write_bytes(b"<script>alert(1)</script>")
    empty.touch()

    choose(page, letter, page_, empty)
    queued(page, "3 not sent.")

    said = page.locator("#refused li").all_inner_texts()
    assert said == [
        "letter.nii.gz: This is not a NIfTI file, whatever its name says.",
        f"a.html: This is no image that can be sent: {KINDS} is needed.",
        "e.nii: This file is empty.",
    ]
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
        queued(page, "1 of 2 queued.")
        shoot(page, "send-waits")
        jane.get(f"/api/tickets/{tickets(jane)[0]}/delete")
        queued(page, "1 of 1 queued.")  # a deleted ticket has no row
    finally:
        site.sql("UPDATE tier SET max_tickets = $1 WHERE name = 'guest'", before)


def test_a_file_that_grows_after_it_was_chosen_is_refused_and_can_be_retried(
    page: Page, jane: httpx.Client, scan: Path
) -> None:
    held = held_declarations(page)
    choose(page, scan)
    while not held:
        page.wait_for_timeout(20)
    with scan.open("ab") as file:
        file.write(b"more")
    later_s = scan.stat().st_mtime + 60  # Chromium compares whole seconds
    os.utime(scan, (later_s, later_s))
    held[0].continue_()

    expect(page.locator("#batch-rows")).to_contain_text("has changed or gone since it was chosen")
    queued(page, "0 of 1 queued, 1 not sent or failed.")
    page.click("#retry button")
    queued(page, "0 of 1 queued, 1 not sent or failed.")
    page.goto("/tickets")
    expect(page.locator("main")).to_contain_text("undo", ignore_case=True)


def test_what_cannot_be_read_is_told_and_its_files_can_be_replaced(
    page: Page, jane: httpx.Client, scan: Path, tmp_path: Path
) -> None:
    path = tmp_path / "cut.nii.gz"
    path.write_bytes(b"\x1f\x8bnot a gzip file")

    choose(page, path)
    queued(page, "0 of 1 queued, 1 not sent or failed.")
    shoot(page, "send-refused")
    page.locator("#batch-rows a").first.click()
    expect(page.locator(".error")).to_be_visible()
    shoot(page, "ticket-refused")
    page.get_by_role("link", name="Replace the files").click()
    page.set_input_files("#files", str(scan))
    page.click("#send-button")
    expect(page.locator("#batch-rows")).to_contain_text("queued", timeout=SOON_MS)

    (number,) = tickets(jane)
    assert status(jane, number) == "ready"


def test_no_service_is_chosen_for_the_user(page: Page, jane: httpx.Client, scan: Path) -> None:
    assert page.locator("[name=service]").count() > 1
    page.set_input_files("#files", str(scan))

    page.click("#send-button")
    queued(page, "Choose a service.")
    assert tickets(jane) == []
    page.locator(f"[value={SERVICE}]").check()
    page.click("#send-button")  # the file is still chosen

    queued(page, "1 of 1 queued.")
    assert len(tickets(jane)) == 1


def test_a_hostile_name_is_only_text(page: Page, jane: httpx.Client, scan: Path) -> None:
    hostile = scan.with_name("<img src=x onerror=alert(1)>'\".nii.gz")
    scan.rename(hostile)
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))

    choose(page, hostile)
    queued(page, "1 of 1 queued.")

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
