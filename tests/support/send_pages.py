# mypy: allow-untyped-calls
"""The page /send as a browser shows it, files that are chosen there, and the tickets that come of them."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import httpx
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Route, expect

from support.accessibility import violations
from support.builders import image, write_image
from support.sites import Site, browse

SERVICE, OTHER, TWO, POINT = "sent-lungs", "sent-nodules", "sent-two", "sent-point"
SOON_MS = 120_000
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
EXPECTED = r"net::ERR|responded with a status of (400|404|409|413|423|504)"
"""Messages that the browser itself logs about connections that a test cuts, and refusals that the page shows."""


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


def choose(page: Page, *files: Path, services: tuple[str, ...] = (SERVICE,)) -> None:
    page.set_input_files("#files", [str(file) for file in files])
    check_only(page, services)
    page.click("#send-button")


def check_only(page: Page, services: tuple[str, ...]) -> None:
    """The page checks a service by itself only if there is no other."""
    for box in page.locator("[name=service]").all():
        box.set_checked(box.get_attribute("value") in services)


def offer_services(site: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    ct = {"name": "CT", "type": "MainImage", "required": True}
    pet = {"name": "PET", "type": "OverlayImage", "hint": "In the grid of the CT", "required": True}
    point = {"name": "Seed", "type": "PointLandmark", "required": True}
    for name, tags in ((SERVICE, [ct]), (OTHER, [ct]), (TWO, [ct, pet]), (POINT, [ct, point])):
        site.offer(tmp_path_factory.mktemp("offer"), "senders", name=name, tags=tags)


def volume(client: httpx.Client, number: int, folder: Path) -> sitk.Image:
    """The image that the service gets."""
    found = inputs(client, number)
    (name,) = [name for name in found if name.startswith("layer_000_")]
    (folder / name).write_bytes(found[name])
    return sitk.ReadImage(str(folder / name))


def same_voxels(one: sitk.Image, other: sitk.Image) -> bool:
    return np.array_equal(sitk.GetArrayViewFromImage(one), sitk.GetArrayViewFromImage(other))


def queued(page: Page, text: str) -> None:
    """Waits for what the page says of the whole batch."""
    expect(page.locator("#batch-state")).to_have_text(text, timeout=SOON_MS)


def shoot(page: Page, name: str) -> None:
    """A picture at the widths of a phone and of a desk, light and dark, for people to look at; and what axe says."""
    folder = os.environ.get("DSS_SCREENSHOTS")
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for scheme in SCHEMES if folder else ():
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=f"{folder}/{name}-{width}-{scheme}.png", full_page=True)
    page.emulate_media(color_scheme="light")


@contextmanager
def guest(site: Site, test: str) -> Iterator[httpx.Client]:
    """A user of the test with this name, whose tickets are gone afterwards."""
    name = re.sub(r"\W", "-", test)[:40]
    with site.program(f"{name}@example.com") as client:
        yield client
        for number in tickets(client):
            client.get(f"/api/tickets/{number}/delete")


@contextmanager
def watched(browser: Browser, client: httpx.Client) -> Iterator[Page]:
    """The page /send; it must not complain."""
    shown = opened(browser, client)
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and not re.search(EXPECTED, message.text):
            complaints.append(message.text)

    shown.on("console", note)
    shown.on("pageerror", lambda error: complaints.append(str(error)))
    yield shown
    shown.context.close()
    assert complaints == []


def held_declarations(page: Page) -> list[Route]:
    """The first declaration of a ticket's files, which waits until the test continues it."""
    held: list[Route] = []

    def hold(route: Route, request: Request) -> None:
        if request.method == "POST" and not held:
            held.append(route)
        else:
            route.continue_()

    page.route(re.compile(r"/intake$"), hold)
    return held


@pytest.fixture(scope="module", autouse=True)
def offered(site: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    offer_services(site, tmp_path_factory)


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
