# mypy: allow-untyped-calls
"""A whole journey in a browser, on the real stack: sign in, send a DICOM folder, watch, look, download, open in ITK-SNAP."""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
from playwright.sync_api import Page, expect

from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from dss_workspace.layers import layer_folders
from dss_workspace.registry import parse
from support import dicom_series, loopback, sites
from support.browsers import chromium
from support.issuers import CLIENT, SECRET, issuing
from support.stacks import Stack, free_port

pytestmark = [pytest.mark.stack, pytest.mark.shared_data]

TIMEOUT_MS = 120_000


@pytest.fixture
def stack(rabbit: RabbitNode, postgres: PostgresCluster, tmp_path: Path) -> Iterator[Stack]:
    """Portal, dispatcher and worker, with an issuer of accounts."""
    port = free_port()
    with issuing(f"http://127.0.0.1:{port}/api/oauth2cb") as issuer:
        settings = {
            "DSS_OIDC_ISSUER": issuer,
            "DSS_OIDC_CLIENT_ID": CLIENT,
            "DSS_OIDC_CLIENT_SECRET": SECRET,
        }
        with sites.whole_stack(rabbit, postgres, tmp_path, port, **settings) as running:
            yield running


def dicom_folder(image: sitk.Image, folder: Path) -> Path:
    """The image as a CT series, as a scanner's archive would give it."""
    voxels = sitk.GetArrayViewFromImage(image)
    planes = []
    for k, stored in enumerate(voxels):
        position = image.TransformIndexToPhysicalPoint((0, 0, k))
        one = dicom_series.plane(position, k + 1, size=(1, 1), spacing=image.GetSpacing()[1::-1])
        planes.append(replace(one, stored=np.ascontiguousarray(stored), name=f"IM{k:04d}"))
    return dicom_series.write(folder, planes)


def sign_in(page: Page, url: str, who: str) -> None:
    """By the provider; the terms of use are asked for by the first page that needs an account."""
    page.goto(f"{url}/send")
    page.get_by_role("link", name="Sign in with your organisation's account").click()
    page.locator('input[name="login"]').fill(who)
    page.locator('input[name="password"]').fill("any")
    page.locator('button[type="submit"]').click()
    page.get_by_role("button", name="Continue").click()  # the provider's consent
    page.wait_for_url(f"{url}/**")
    page.goto(f"{url}/send")
    page.locator('input[name="cb"]').check()
    page.get_by_role("button", name="Accept", exact=True).click()
    expect(page.locator('input[name="cb"]')).to_have_count(0)


def opened(link: str) -> dict[str, bytes]:
    """What ITK-SNAP gets from a link: the workspace, then each file beside it by name."""
    url = link.removeprefix("itksnap-")
    with loopback.client(follow_redirects=False) as snap:
        workspace = snap.get(url)
        registry = parse(workspace.content)
        found = {url.rpartition("/")[2]: workspace.content}
        for layer in layer_folders(registry).values():
            name = layer.get("AbsolutePath").removeprefix(f"{registry.get('SaveLocation')}/")
            answer = snap.get(f"{url.rpartition('/')[0]}/{name}")
            assert answer.status_code == httpx.codes.OK
            found[name] = answer.content
    return found


def test_from_a_dicom_folder_to_the_result_in_itksnap(
    stack: Stack, shared_data: Path, tmp_path: Path
) -> None:
    source = sitk.ReadImage(str(shared_data / "cip" / "ct-64.nrrd"))
    study = dicom_folder(source, tmp_path / "MUELLER")
    complaints: list[str] = []
    with chromium() as browser:
        context = browser.new_context()
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        sign_in(page, stack.url, "ann@example.com")

        page.goto(f"{stack.url}/send")
        page.set_input_files("#folder", str(study))
        page.click("#send-button")
        expect(page.locator("#batch-rows")).to_contain_text("MUELLER 79 files")
        page.locator("#batch-rows a").click()
        expect(page.locator(".name")).to_have_text("MUELLER")
        expect(page.locator("#results")).to_be_visible(timeout=TIMEOUT_MS)  # it moves by itself
        number = int(page.url.rpartition("/")[2])

        expect(page.locator(".volumes tbody tr").first).to_contain_text("lung")
        with page.expect_download() as downloading:
            page.get_by_role("link", name="Download (").click()
        archive = zipfile.ZipFile(io.BytesIO(downloading.value.path().read_bytes()))
        page.get_by_role("link", name="View", exact=True).click()
        expect(page.locator(".place")).to_contain_text("mm", timeout=TIMEOUT_MS)
        page.goto(f"{stack.url}/tickets/{number}")
        page.get_by_role("button", name="Open in ITK-SNAP").click()
        link = page.locator("code.token").inner_text()

        files = opened(link)
        assert set(files) <= {Path(name).name for name in archive.namelist()}
        assert any(name.startswith("seg_") for name in files)
        main = next(name for name in files if name.startswith("layer_000_"))
        (tmp_path / main).write_bytes(files[main])
        sent = sitk.ReadImage(str(tmp_path / main))
        assert np.array_equal(sitk.GetArrayViewFromImage(sent), sitk.GetArrayViewFromImage(source))

        stranger = browser.new_context().new_page()
        sign_in(stranger, stack.url, "bob@example.com")
        for path in (
            f"/tickets/{number}",
            f"/tickets/{number}/view",
            f"/tickets/{number}/download",
        ):
            answer = stranger.goto(f"{stack.url}{path}")
            assert answer is not None
            assert answer.status == httpx.codes.NOT_FOUND
            assert "MUELLER" not in stranger.content()
        stranger.goto(f"{stack.url}/tickets")
        assert "MUELLER" not in stranger.content()
    assert complaints == []
    logs = {path.stem: path.read_text("utf-8") for path in stack.folder.glob("*.log")}
    assert len(logs) >= 3
    assert [name for name, text in logs.items() if "MUELLER" in text] == []
