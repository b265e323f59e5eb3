# mypy: allow-untyped-calls
"""The page /send as a browser shows it, files that are chosen there, and the tickets that come of them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page

from support.sites import Site, browse

SERVICE, OTHER = "sent-lungs", "sent-nodules"
EXPECTED = r"net::ERR|responded with a status of (400|404|409|423|504)"
"""What the browser itself logs of connections that a test cuts, and of refusals that the page shows."""


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
    """The page checks the first of its services by itself."""
    for box in page.locator("[name=service]").all():
        box.set_checked(box.get_attribute("value") in services)


def offer_two(site: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in (SERVICE, OTHER):
        site.offer(tmp_path_factory.mktemp("offer"), "senders", name=name)


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
