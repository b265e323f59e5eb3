# mypy: allow-untyped-calls
"""Sending from a browser: several files, cut connections, a closed tab, a full quota, wrong and hostile files."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Route, expect

from support.accessibility import violations
from support.builders import LayerSpec, WorkspaceSpec, image, workspace_xml, write_image
from support.sites import Site, browse

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

SERVICE, OTHER = "sent-lungs", "sent-nodules"
MB = 2**20
SOON_MS = 30_000
EXPECTED = r"net::ERR|responded with a status of (400|404|409|423|504)"
"""What the browser itself logs of connections that a test cuts, and of refusals that the page shows."""
PATCHES = re.compile(r"/uploads/[0-9a-f]{32}$")


@pytest.fixture(scope="module", autouse=True)
def offered(site: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in (SERVICE, OTHER):
        site.offer(tmp_path_factory.mktemp("offer"), "senders", name=name)


@pytest.fixture
def jane(site: Site, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A guest of one test, whose tickets are gone afterwards."""
    name = re.sub(r"\W", "-", request.node.name)[:40]
    with site.program(f"{name}@example.com") as client:
        yield client
        for number in tickets(client):
            client.get(f"/api/tickets/{number}/delete")


@pytest.fixture
def page(browser: Browser, jane: httpx.Client) -> Iterator[Page]:
    """The page /send; it must not complain."""
    shown = opened(browser, jane)
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and not re.search(EXPECTED, message.text):
            complaints.append(message.text)

    shown.on("console", note)
    shown.on("pageerror", lambda error: complaints.append(str(error)))
    yield shown
    shown.context.close()
    assert complaints == []


def opened(browser: Browser, client: httpx.Client) -> Page:
    shown = browse(browser, client)
    shown.goto("/send")
    return shown


def tickets(client: httpx.Client) -> list[int]:
    return [int(line.partition(",")[0]) for line in client.get("/api/tickets").text.splitlines()]


def inputs(client: httpx.Client, number: int) -> dict[str, bytes]:
    listed = client.get(f"/api/tickets/{number}/files/input").text.splitlines()
    rows = [line.split(",", 1) for line in listed]
    path = f"/api/tickets/{number}/files/input"
    return {name: client.get(f"{path}/{index}").content for index, name in rows}


def status(client: httpx.Client, number: int) -> str:
    return client.get(f"/api/tickets/{number}/status").text


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


def choose(page: Page, *files: Path, services: tuple[str, ...] = (SERVICE,)) -> None:
    page.set_input_files("#files", [str(file) for file in files])
    check_only(page, services)
    page.click("#send-button")


def check_only(page: Page, services: tuple[str, ...]) -> None:
    """The page checks the first of its services by itself."""
    for box in page.locator("[name=service]").all():
        box.set_checked(box.get_attribute("value") in services)


def test_several_files_go_to_several_services(
    page: Page, jane: httpx.Client, scan: Path, tmp_path: Path
) -> None:
    other = write_image(tmp_path / "other.nii", image())

    choose(page, scan, other, services=(SERVICE, OTHER))
    expect(page.locator("#batch-state")).to_have_text("4 of 4 submitted.", timeout=SOON_MS)

    numbers = tickets(jane)
    assert [status(jane, number) for number in numbers] == ["ready"] * 4
    names = {tuple(inputs(jane, number)) for number in numbers}
    assert {name[0] for name in names} == {"image.nii.gz", "image.nii"}
    assert all(len(name) == 2 for name in names)
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert violations(page) == []
        expect(page.locator("#retry")).to_be_hidden()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if folder := os.environ.get("DSS_SCREENSHOTS"):
            page.screenshot(path=f"{folder}/send-{width}.png", full_page=True)
    page.locator("#batch-rows a").first.click()
    expect(page.locator(".name")).to_have_text("MUELLER_HANS.nii.gz")  # for her eyes only


def test_a_workspace_is_sent_with_its_files(page: Page, jane: httpx.Client, tmp_path: Path) -> None:
    layer = write_image(tmp_path / "layer.nii.gz", image())
    spec = WorkspaceSpec(layers=(LayerSpec(file_name=layer.name, tags="CT"),))
    workspace = tmp_path / "case.itksnap"
    workspace.write_bytes(workspace_xml(spec))

    choose(page, workspace, layer)
    expect(page.locator("#batch-state")).to_have_text("1 of 1 submitted.", timeout=SOON_MS)

    (number,) = tickets(jane)
    assert status(jane, number) == "ready"
    assert set(inputs(jane, number)) == {"case.itksnap", "layer.nii.gz"}


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


def test_files_can_be_dropped(page: Page) -> None:
    page.evaluate(
        """() => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array([1, 2, 3, 4])], "dropped.nii"));
            const event = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
            document.getElementById("drop").dispatchEvent(event);
        }"""
    )

    expect(page.locator("#batch-rows tr")).to_contain_text("dropped.nii")
    expect(page.locator("#batch-state")).to_have_text("0 of 1 submitted, 1 not sent.")


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


def test_without_script_one_image_is_sent(
    site: Site, browser: Browser, jane: httpx.Client, scan: Path, tmp_path: Path
) -> None:
    (cookie,) = [c for c in jane.cookies.jar if c.name == "webpy_session_id"]
    context = browser.new_context(base_url=site.url, java_script_enabled=False)
    context.add_cookies([{"name": cookie.name, "value": cookie.value or "", "url": site.url}])
    page = context.new_page()
    wrong = tmp_path / "letter.txt"
    wrong.write_text("Dear colleague", encoding="utf-8")

    page.goto("/send")
    page.set_input_files("#files", str(wrong))
    page.locator(f"[value={SERVICE}]").check()
    page.click("#send-button")
    expect(page.locator("[role=alert]")).to_contain_text("'letter.txt' is no NIfTI file")
    assert tickets(jane) == []

    page.set_input_files("#files", str(scan))
    page.locator(f"[value={SERVICE}]").check()
    page.click("#send-button")
    expect(page.locator(".name")).to_have_text("MUELLER_HANS.nii.gz")
    (number,) = tickets(jane)
    assert status(jane, number) == "ready"
    context.close()


def test_a_form_of_another_page_sends_nothing(jane: httpx.Client, scan: Path) -> None:
    answer = jane.post(
        "/send",
        data={"form_token": "forged", "service": SERVICE},
        files={"myfile": (scan.name, scan.read_bytes())},
    )

    assert "This form is too old" in answer.text
    assert tickets(jane) == []
