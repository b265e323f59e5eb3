# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""The viewer in a browser, and an image with one marked cube for it."""

from collections.abc import Iterator

import httpx
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
from playwright.sync_api import Browser, Page

from support import sites
from support.browsers import chromium
from support.sites import Site, browse

SOFTWARE_WEBGL = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
SIZE = (40, 32, 24)
MARKED = (29, 9, 15)
"""Index of the middle of a cube of 3 voxels, which is bright in the image and the only label of the segmentation."""


def cube(direction: tuple[float, ...], pixel: int, inside: int, outside: int) -> sitk.Image:
    """``inside`` in the cube around MARKED."""
    built = sitk.Image(SIZE, pixel) + outside
    built.SetSpacing((1.5, 1.25, 2.0))
    built.SetOrigin((-30.5, 12.25, 100.0))
    built.SetDirection(direction)
    x, y, z = MARKED
    built[x - 1 : x + 2, y - 1 : y + 2, z - 1 : z + 2] = inside
    return built  # type: ignore[no-any-return]  # SimpleITK ships no types


@pytest.fixture(scope="module")
def browser(site: Site) -> Iterator[Browser]:
    """A browser whose WebGL is computed by the processor."""
    flags = [flag for flag in sites.CHROMIUM if flag != "--disable-gpu"]
    with chromium([*flags, *SOFTWARE_WEBGL]) as launched:
        yield launched


@pytest.fixture(scope="module")
def mary(site: Site) -> Iterator[httpx.Client]:
    with site.program("mary@example.com", "--tier", "poweruser") as client:
        yield client


@pytest.fixture
def page(browser: Browser, mary: httpx.Client) -> Iterator[Page]:
    shown = browse(browser, mary)
    yield shown
    shown.context.close()
