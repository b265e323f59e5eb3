# mypy: allow-untyped-calls
"""Sending from a browser: several files, cut connections, a closed tab, a full quota, wrong and hostile files."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from support.accessibility import violations
from support.builders import LayerSpec, WorkspaceSpec, image, workspace_xml, write_image
from support.send_pages import (
    OTHER,
    SERVICE,
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
