# mypy: allow-untyped-calls
"""Sending many large images from a browser over a slow connection that is cut again and again: little is sent twice.

``DSS_TEST_CASES=20 DSS_TEST_CASE_MB=64`` sends more than the suite does; the connection is cut every 5 s then.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
from playwright.sync_api import Browser, Page, expect

from support import send_pages
from support.cut_wires import SlowWire, slow_wire
from support.send_pages import SERVICE, check_only, status, tickets
from support.sites import Site, browse

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1800)]

log = logging.getLogger(__name__)
MB = 2**20
CASES, CASE_MB = (int(os.environ.get(f"DSS_TEST_CASE{n}", d)) for n, d in (("S", 3), ("_MB", 8)))
RATE_MB = 2 if CASE_MB < 64 else 16
CUT_S = 3.0 if CASE_MB < 64 else 5.0
MOST_LOST_MB = 16
"""For each case.  A cut loses at most a part of 8 MB of each of those that are sent at once."""
WITHIN_MS = 1_500_000

offered = send_pages.offered


@pytest.fixture
def jane(site: Site) -> Iterator[httpx.Client]:
    with site.program("jane-of-many@example.com", "--tier", "poweruser") as client:
        yield client
        for number in tickets(client):
            client.get(f"/api/tickets/{number}/delete")


@pytest.fixture
def wire(site: Site) -> Iterator[SlowWire]:
    with slow_wire(site.url, RATE_MB * MB, CUT_S) as found:
        yield found


@pytest.fixture
def page(browser: Browser, jane: httpx.Client) -> Iterator[Page]:
    shown = browse(browser, jane)
    yield shown
    shown.context.close()


def _images(folder: Path) -> list[Path]:
    """Noise, which no compression makes smaller."""
    dice = np.random.default_rng(1)
    made = [folder / f"case{number}.nii" for number in range(CASES)]
    for path in made:
        voxels = dice.integers(0, 1000, (2 * CASE_MB, 512, 512), dtype=np.int16)
        sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path))
    return made


def test_little_is_sent_twice_and_each_image_is_queued(
    page: Page, jane: httpx.Client, wire: SlowWire, tmp_path: Path
) -> None:
    images = _images(tmp_path)
    page.goto(f"{wire.url}/send")
    page.set_input_files("#files", [str(path) for path in images])
    check_only(page, (SERVICE,))
    page.click("#send-button")

    told = f"{CASES} of {CASES} queued."
    expect(page.locator("#batch-state")).to_have_text(told, timeout=WITHIN_MS)

    assert [status(jane, number) for number in tickets(jane)] == ["ready"] * CASES
    lost_mb = wire.sent_bytes / MB - CASES * CASE_MB
    log.info("%d cuts, %.1f MB sent twice", wire.cuts, lost_mb)
    assert wire.cuts >= 3
    assert lost_mb < min(16 * wire.cuts, MOST_LOST_MB * CASES)
