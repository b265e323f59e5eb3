# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Time from opening the viewer of a ticket to its first picture, in Chromium without a graphics card.

``python tests/bench/bench_viewer.py``: a noisy phantom of 512x512x300 voxels as .nii.gz with a segmentation of two
labels, from a portal on this machine.  Times are those of the page's own marks, in seconds since the page was asked for.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Annotated

import httpx
import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
import typer
from playwright.sync_api import Browser

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.side_by_side import sides
from dss_inference.device.runner import Runner
from dss_phantom.chest import PhantomSpec, make_phantom
from support import sites
from support.browsers import chromium
from support.builders import result_files
from support.sites import ROOT, Site, browse, claim, finish, new_ticket, serve
from support.stacks import leave_nothing_running
from support.viewed import SOFTWARE_WEBGL

SERVICE = "viewed-lungs"
NOISE_HU = 12.0
MARKS = "performance.getEntriesByType('mark').map((mark) => [mark.name, mark.startTime / 1000])"


def bench(
    size: Annotated[tuple[int, int, int], typer.Option(help="Voxels along x, y, z.")] = (
        512,
        512,
        300,
    ),
    rounds: Annotated[int, typer.Option(help="How often it is opened.", min=1)] = 5,
    picture: Annotated[Path | None, typer.Option(help="Where to keep a picture of it.")] = None,
) -> None:
    leave_nothing_running()
    flags = [flag for flag in sites.CHROMIUM if flag != "--disable-gpu"]
    with tempfile.TemporaryDirectory(prefix="dss-bench-") as name, ExitStack() as opened:
        site = opened.enter_context(_site(Path(name)))
        root, jane, provider = (
            opened.enter_context(site.program(email, *options))
            for email, *options in (
                (ROOT, "--sysadmin"),
                ("jane@example.com", "--tier", "poweruser"),
                ("told@example.com",),
            )
        )
        serve(site, root, Path(name), SERVICE)
        number = _finished(jane, provider, size, Path(name))
        browser = opened.enter_context(chromium([*flags, *SOFTWARE_WEBGL]))
        found = [_opened(browser, jane, number, picture) for _ in range(rounds)]
        for mark in found[0]:
            times = [marks[mark] for marks in found if mark in marks]
            typer.echo(f"{mark:30} {median(times):6.2f} s ({min(times):.2f} to {max(times):.2f})")


@contextmanager
def _site(folder: Path) -> Iterator[Site]:
    (folder / "site").mkdir()
    with sides.servers(folder) as (rabbit, postgres):
        site = sites.start(rabbit.amqp_url, postgres, folder / "site")
        try:
            yield site
        finally:
            site.stack.stop()


def _finished(
    user: httpx.Client, provider: httpx.Client, size: tuple[int, int, int], folder: Path
) -> int:
    phantom = make_phantom(PhantomSpec(size=size, spacing_mm=(0.75, 0.75, 1.0)), Runner("cpu"))
    voxels = sitk.GetArrayFromImage(phantom.ct)
    dice = np.random.default_rng(1)
    noisy = sitk.GetImageFromArray(
        np.clip(voxels + dice.normal(0, NOISE_HU, voxels.shape), -1024, 3071).astype(np.int16)
    )
    noisy.CopyInformation(phantom.ct)
    files = result_files(noisy, phantom.truth, dimensions=" ".join(map(str, size)))
    for name, data in files.items():
        typer.echo(f"{name}: {len(data) / 1e6:.1f} MB")
    number = new_ticket(user, SERVICE)
    assert claim(provider, "told", SERVICE) == number
    finish(provider, number, "success", files)
    return number


def _opened(
    browser: Browser, user: httpx.Client, number: int, picture: Path | None
) -> dict[str, float]:
    page = browse(browser, user)
    page.goto(f"/tickets/{number}/view", wait_until="commit")
    page.locator("#viewer[data-state]").wait_for(state="attached", timeout=120_000)
    marks = dict(page.evaluate(MARKS))
    marks["everything is shown"] = page.evaluate("performance.now() / 1000")
    if picture is not None:
        page.screenshot(path=picture)
    page.context.close()
    return marks


if __name__ == "__main__":
    typer.run(bench)
