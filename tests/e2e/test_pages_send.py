# mypy: allow-untyped-calls
"""Sending from a browser: files of all kinds, folders, several series, services and tags."""

import base64
import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from support import send_pages
from support.builders import LayerSpec, WorkspaceSpec, image, workspace_xml, write_image
from support.dicom_uploads import write_two_series
from support.send_pages import (
    OTHER,
    POINT,
    SERVICE,
    SOON_MS,
    TWO,
    check_only,
    choose,
    inputs,
    queued,
    shoot,
    status,
    tickets,
    volume,
)
from support.sites import Site
from support.waiting import wait_until

pytestmark = [pytest.mark.stack]

offered = send_pages.offered
jane = send_pages.jane
page = send_pages.page
scan = send_pages.scan


DROP = """async (files) => {
    const data = new DataTransfer();
    for (const [name, text] of files) data.items.add(new File([text], name));
    document.getElementById("drop").dispatchEvent(
        new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


DROP_HOME = """([name, text]) => {
    const data = new DataTransfer();
    data.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
    document.getElementById("drop-here").dispatchEvent(
        new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


FOLDER = """(files) => {
    const entry = (name, path, text) => ({
        isFile: true, isDirectory: false, name, fullPath: path,
        file: (done) => done(new File([text], name)),
    });
    const folder = {
        isFile: false, isDirectory: true, name: "STUDY", fullPath: "/STUDY",
        createReader: () => {
            let left = files.map(([name, text]) => entry(name, `/STUDY/${name}`, text));
            return { readEntries: (done) => done(left.splice(0, 100)) };
        },
    };
    const event = new Event("drop", { bubbles: true, cancelable: true });
    event.dataTransfer = { items: [{ webkitGetAsEntry: () => folder }], files: [] };
    document.getElementById("drop").dispatchEvent(event);
}"""

"""Browsers let no script put a folder into a drop, so the folder is one of ours."""


def test_several_kinds_of_files_go_to_several_services(
    page: Page, jane: httpx.Client, scan: Path, tmp_path: Path
) -> None:
    others = [write_image(tmp_path / f"other{e}", image()) for e in (".nrrd",)]
    shoot(page, "send-empty")

    choose(page, scan, *others, services=(SERVICE, OTHER))
    queued(page, "4 of 4 queued.")

    numbers = tickets(jane)
    assert [status(jane, number) for number in numbers] == ["ready"] * 4
    assert all(len(inputs(jane, number)) == 2 for number in numbers)
    shoot(page, "send")
    expect(page.locator("#retry")).to_be_hidden()
    page.locator("#batch-rows a").first.click()
    expect(page.locator(".name")).to_have_text("MUELLER_HANS.nii.gz")  # for her eyes only
    shoot(page, "ticket-queued")


def test_a_folder_of_dicom_files_becomes_a_ticket(
    page: Page, jane: httpx.Client, tmp_path: Path
) -> None:
    study = write_two_series(tmp_path / "STUDY")
    (study / "letter.txt").write_text("Dear colleague", encoding="utf-8")

    page.set_input_files("#folder", str(study))
    page.select_option("#series", "each")
    check_only(page, (SERVICE,))
    page.click("#send-button")

    expect(page.locator("#refused")).to_contain_text(
        "letter.txt: This is no image that can be sent"
    )
    expect(page.locator("#batch-rows")).to_contain_text("STUDY 17 files")
    queued(page, "1 of 1 queued.")
    numbers = tickets(jane)
    assert len(numbers) == 2
    found = [volume(jane, number, tmp_path) for number in numbers]
    assert [each.GetSize() for each in found] == [(16, 16, 8)] * 2


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_the_times_are_those_of_the_largest_image_that_is_chosen(
    page: Page, tmp_path: Path, ending: str
) -> None:
    small, large = image((4, 5, 6)), image((7, 8, 9))
    files = [write_image(tmp_path / f"{n}{ending}", each) for n, each in enumerate((large, small))]

    with page.expect_response(re.compile(r"/send\?voxels=504$")) as answer:
        page.set_input_files("#files", [str(file) for file in files])

    assert answer.value.ok
    expect(page.locator("#estimate-size")).to_have_text(
        "Times are for the largest image that is chosen."
    )
    expect(page.locator(f"#estimate-{SERVICE}")).to_contain_text("Nobody serves this at present")


def test_the_times_are_those_of_the_series_that_is_chosen(page: Page, tmp_path: Path) -> None:
    study = write_two_series(tmp_path / "STUDY")

    with page.expect_response(re.compile(r"/send\?voxels=\d{4}$")) as answer:
        page.set_input_files("#folder", str(study))

    assert answer.value.ok


def test_files_can_be_dropped(page: Page) -> None:
    page.evaluate(DROP, [["dropped.nii", "abcd"]])

    expect(page.locator("#refused")).to_contain_text("dropped.nii: This is not a NIfTI file")
    queued(page, "1 not sent.")


def test_files_dropped_on_the_first_page_are_sent_once_a_service_is_chosen(
    page: Page, jane: httpx.Client, scan: Path
) -> None:
    page.goto("/")
    text = base64.b64encode(scan.read_bytes()).decode()
    page.evaluate(DROP_HOME, ["scan.nii.gz", text])
    queued(page, "1 file waits to be sent. Choose a service, then Send.")
    assert page.url.endswith("/send")
    expect(page.get_by_role("link", name="Send images")).to_have_attribute("aria-current", "page")

    check_only(page, (SERVICE,))
    page.click("#send-button")

    queued(page, "1 of 1 queued.")
    assert len(tickets(jane)) == 1
    page.go_back()
    expect(page.get_by_role("heading", name="Latest tickets")).to_be_visible()


def test_a_folder_of_more_than_a_hundred_files_can_be_dropped(page: Page) -> None:
    letters = [[f"letter{n:03}.txt", "Dear colleague"] for n in range(130)]

    page.evaluate(FOLDER, letters)

    queued(page, "130 not sent.")
    expect(page.locator("#refused")).to_contain_text("and 110 more files that were left out.")


def test_many_images_with_long_names_are_known_to_the_server(
    page: Page, jane: httpx.Client, scan: Path, tmp_path: Path
) -> None:
    images = [tmp_path / f"{'日' * 60}{number:03}.nii.gz" for number in range(130)]
    for path in images:
        path.write_bytes(scan.read_bytes())
    page.route(re.compile(r"/api/tickets$"), lambda route: route.abort())

    choose(page, *images)

    wait_until(lambda: len(jane.get("/api/batch").json()["result"]) == 130, 60)
    queued(page, "0 of 130 queued.")


def test_an_image_of_two_files_is_sent_with_both(
    page: Page, jane: httpx.Client, tmp_path: Path
) -> None:
    write_image(tmp_path / "scan.mhd", image())
    write_image(tmp_path / "lonely.mhd", image())

    choose(page, *(tmp_path / name for name in ("scan.mhd", "scan.raw", "lonely.mhd")))

    expect(page.locator("#refused")).to_contain_text("'lonely.raw', which is needed beside it")
    queued(page, "1 of 1 queued.")
    assert volume(jane, tickets(jane)[0], tmp_path).GetSize() == (12, 10, 8)


def test_a_service_that_needs_a_second_image_gets_it_by_its_tag(
    page: Page, jane: httpx.Client, scan: Path, tmp_path: Path
) -> None:
    other = write_image(tmp_path / "pet.nrrd", image())
    check_only(page, (TWO,))
    shoot(page, "send-tags")

    choose(page, scan, services=(TWO,))
    queued(page, f"{TWO} needs an image for PET besides the main image; choose it below.")
    page.get_by_label("PET").set_input_files(str(other))
    page.click("#send-button")  # the main image is still chosen
    queued(page, "1 of 1 queued.")

    (number,) = tickets(jane)
    layers = [name for name in inputs(jane, number) if name.startswith("layer_")]
    assert len(layers) >= 1
    (workspace,) = [
        data for name, data in inputs(jane, number).items() if name.endswith(".itksnap")
    ]
    assert b'value="PET"' in workspace


def test_a_service_that_needs_a_point_asks_for_a_workspace(page: Page, scan: Path) -> None:
    choose(page, scan, services=(POINT,))

    queued(page, f"{POINT} needs Seed besides images; send a workspace from ITK-SNAP.")


def test_a_workspace_is_sent_with_its_files(page: Page, jane: httpx.Client, tmp_path: Path) -> None:
    layer = write_image(tmp_path / "layer.nii.gz", image())
    spec = WorkspaceSpec(layers=(LayerSpec(file_name=layer.name, tags="CT"),))
    workspace = tmp_path / "case.itksnap"
    workspace.write_bytes(workspace_xml(spec))

    choose(page, workspace, layer)
    queued(page, "1 of 1 queued.")

    (number,) = tickets(jane)
    assert status(jane, number) == "ready"
    assert set(inputs(jane, number)) == {"case.itksnap", "layer.nii.gz"}


def test_a_series_is_chosen_after_the_upload(
    page: Page, jane: httpx.Client, tmp_path: Path
) -> None:
    page.set_input_files("#folder", str(write_two_series(tmp_path / "STUDY")))
    page.select_option("#series", "ask")
    check_only(page, (SERVICE,))
    page.click("#send-button")

    page.get_by_role("link", name="Choose a series").click(timeout=SOON_MS)
    shoot(page, "ticket-series")
    page.locator("#choosing label").nth(1).click()
    page.get_by_role("button", name="Send this series").click()
    expect(page.locator(".stages .now")).to_contain_text("Waiting", timeout=SOON_MS)

    (number,) = tickets(jane)
    assert status(jane, number) == "ready"


def test_without_script_one_image_is_sent(
    site: Site, browser: Browser, jane: httpx.Client, tmp_path: Path
) -> None:
    scan = write_image(tmp_path / "MUELLER.nrrd", image())
    (cookie,) = [c for c in jane.cookies.jar if c.name == "webpy_session_id"]
    context = browser.new_context(base_url=site.url, java_script_enabled=False)
    context.add_cookies([{"name": cookie.name, "value": cookie.value or "", "url": site.url}])
    page = context.new_page()
    wrong, cut = tmp_path / "letter.txt", tmp_path / "cut.nii"
    for file in (wrong, cut):
        file.write_text("Dear colleague", encoding="utf-8")

    def send(file: Path) -> None:
        page.set_input_files("#files", str(file))
        page.locator(f"[value={SERVICE}]").check()
        page.click("#send-button")

    page.goto("/send")
    send(wrong)
    expect(page.locator("[role=alert]")).to_contain_text("'letter.txt' is no image of one file")
    assert tickets(jane) == []

    send(cut)
    (number,) = tickets(jane)
    wait_until(lambda: "Replace the files" in jane.get(f"/tickets/{number}").text, 30)
    page.reload()
    page.get_by_role("link", name="Replace the files").click()
    send(scan)
    expect(page.locator(".name")).to_have_text("MUELLER.nrrd")
    wait_until(lambda: status(jane, number) == "ready", 30)
    context.close()
