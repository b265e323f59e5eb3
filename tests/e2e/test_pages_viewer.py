# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""The viewer of a ticket's image and segmentation, in a browser, held against SimpleITK."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
from playwright.sync_api import Browser, ConsoleMessage, Page, expect
from scipy import ndimage

from dss_datastore import layout
from support import viewed
from support.accessibility import violations
from support.builders import LayerSpec, WorkspaceSpec, workspace_xml, write_image
from support.sites import Site, browse, claim, finish, new_ticket
from support.viewed import MARKED, SIZE, cube

pytestmark = [pytest.mark.stack]

SERVICE = "viewed-lungs"
VALUE = 700
LABEL = 300
TURN = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)
TILT = (1.0, 0.0, 0.0, 0.0, 0.8, -0.6, 0.0, 0.6, 0.8)
PREVIEW = """async (index) => {
  const { drawPreview } = await import("/static/viewer/preview.js");
  const { readVolume } = await import("/static/viewer/volumes.js");
  const canvas = document.createElement("canvas");
  canvas.id = "preview";
  document.querySelector(".stage").append(canvas);
  drawPreview(canvas, await readVolume((await fetch(document.getElementById("viewer").dataset.image)).body), index);
  canvas.remove();
  return canvas.toDataURL();
}"""
"""The first picture, which is drawn before NiiVue has taken the image in."""
PICTURE = "Three planes with the outlines of the labels"
GRIDS = {
    "oblique nifti": (TURN, "nii.gz", "nii.gz"),
    "left-handed": ((1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0), "nii.gz", "nrrd"),
    "left-handed oblique": ((0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, -1.0), "nrrd", "nrrd"),
    "tilted sagittal": ((0.0, 0.0, -1.0, 0.8, 0.6, 0.0, 0.6, -0.8, 0.0), "mha", "nii.gz"),
    "tilted, right to left": (tuple(-n for n in TILT), "nii", "mha"),
}
"""Direction cosines in LPS, row by row; formats of image and segmentation."""

browser = viewed.browser
mary = viewed.mary
page = viewed.page


@pytest.fixture(scope="module")
def provider(
    site: Site, root: httpx.Client, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    site.offer(tmp_path_factory.mktemp("offer"), "viewed", name=SERVICE)
    with site.program("viewed@example.com") as client:
        added = root.post("/api/admin/providers/viewed/users", data={"email": "viewed@example.com"})
        assert added.is_success, added.text
        yield client


def finished(
    mary: httpx.Client, provider: httpx.Client, folder: Path, grid: str
) -> tuple[int, tuple[float, ...]]:
    """The number of a ticket with image and segmentation in that grid; where SimpleITK says that MARKED lies (LPS, mm)."""
    direction, image_format, label_format = GRIDS[grid]
    image = cube(direction, sitk.sitkInt16, VALUE, -900)
    drawn = cube(direction, sitk.sitkUInt16, LABEL, 0)
    main = LayerSpec(file_name=f"image.{image_format}")
    labels = LayerSpec(file_name=f"labels.{label_format}", role="SegmentationRole")
    files = {
        layer.file_name: write_image(folder / layer.file_name, built).read_bytes()
        for layer, built in ((main, image), (labels, drawn))
    }
    spec = WorkspaceSpec(
        layers=(main, labels), labels={LABEL: "<b>cube</b>"}, dimensions="40 32 24"
    )
    number = new_ticket(mary, SERVICE)
    assert claim(provider, "viewed", SERVICE) == number
    finish(provider, number, "success", {**files, "result.itksnap": workspace_xml(spec)})
    return number, image.TransformIndexToPhysicalPoint(MARKED)


def looked_at(page: Page, number: int) -> str:
    """How the viewer says that it has begun."""
    page.goto(f"/tickets/{number}/view")
    expect(page.locator("#viewer")).to_have_attribute("data-state", re.compile("."), timeout=60_000)
    return page.locator("#viewer").get_attribute("data-state") or ""


def place_of(page: Page) -> tuple[list[int], list[float], str]:
    """Voxel from 0, LPS in mm, and the rest of what the viewer says of the cursor."""
    text = page.locator("#place").inner_text()
    voxel, where, value, label = text.split(" \u00b7 ")
    numbers = re.findall(r"([\d.]+) ([LRPAIS])", where)
    lps = [float(n) * (1 if side in "LPS" else -1) for n, side in numbers]
    return [int(n) - 1 for n in re.findall(r"\d+", voxel)], lps, f"{value}, {label}"


def pixels(page: Page, folder: Path) -> npt.NDArray[np.float64]:
    """Rows, columns, red green blue of the canvas, without its round corners."""
    path = folder / "canvas.png"
    page.locator("#canvas").screenshot(path=path)
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[8:-8, 8:-8, :3].astype(float)


def preview_pixels(address: str, folder: Path) -> npt.NDArray[np.float64]:
    """As ``pixels``, of a picture in a data URL."""
    path = folder / "preview.png"
    path.write_bytes(base64.b64decode(address.partition(",")[2]))
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[8:-8, 8:-8, :3].astype(float)


def middle(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    assert mask.sum() > 20
    return np.asarray(np.argwhere(mask).mean(axis=0))


def test_a_marked_voxel_is_shown_where_simpleitk_says_in_all_grids_and_formats(
    page: Page, mary: httpx.Client, provider: httpx.Client, tmp_path: Path
) -> None:
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(_told(m)))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    for grid in GRIDS:
        number, lps = finished(mary, provider, tmp_path, grid)
        assert looked_at(page, number) == "shown", complaints

        page.get_by_role("button", name="Go to <b>cube</b>").click()
        voxel, shown, rest = place_of(page)
        assert (voxel, rest) == (list(MARKED), f"value {VALUE}, <b>cube</b>"), grid
        assert shown == pytest.approx(lps, abs=0.06), grid

        page.get_by_role("button", name="None").click()
        shown_at = _corners(pixels(page, tmp_path))
        preview = preview_pixels(page.evaluate(PREVIEW, list(MARKED)), tmp_path)
        assert np.abs(shown_at - _corners(preview)).max() <= 3, grid
        page.get_by_role("button", name="All", exact=True).click()
        page.get_by_label("Axial").check()
        page.get_by_label("Opacity of the labels").fill("100")
        both = pixels(page, tmp_path)
        page.get_by_role("button", name="None").click()
        image = pixels(page, tmp_path)
        red, green = both[..., 0], both[..., 1]
        labelled = middle(
            (red < 30) & (green < 30) & (both[..., 2] < 30) & (image.min(axis=2) > 200)
        )
        bright = middle(image.min(axis=2) > 200)
        assert np.abs(labelled - bright).max() < 1, grid
        _require_sides(bright, image.shape, grid)

    assert [text for text in complaints if text] == []


def test_a_slider_leads_through_the_slices_of_the_plane_that_is_shown(
    page: Page, mary: httpx.Client, provider: httpx.Client, tmp_path: Path
) -> None:
    number, _ = finished(mary, provider, tmp_path, "tilted sagittal")
    assert looked_at(page, number) == "shown"
    expect(page.locator("#slice-said")).to_have_text(f"Axial, {SIZE[1] // 2 + 1} of {SIZE[1]}")
    page.get_by_role("button", name="None").click()

    for plane, axis in (("Axial", 1), ("Coronal", 0), ("Sagittal", 2)):
        page.get_by_label(plane).check()
        page.get_by_label("Slice").fill("1")
        assert (place_of(page)[0][axis], _bright(page, tmp_path)) == (0, 0), plane
        page.get_by_label("Slice").fill(str(MARKED[axis] + 1))
        assert place_of(page)[0][axis] == MARKED[axis]
        assert _bright(page, tmp_path) > 20, plane
        said = f"{plane}, {MARKED[axis] + 1} of {SIZE[axis]}"
        expect(page.locator("#slice-said")).to_have_text(said)


def _bright(page: Page, folder: Path) -> int:
    return int((pixels(page, folder).min(axis=2) > 200).sum())


def test_the_letters_of_the_patient_s_sides_stand_out_from_grey_tissue(
    page: Page, mary: httpx.Client, provider: httpx.Client, tmp_path: Path
) -> None:
    number, _ = finished(mary, provider, tmp_path, "oblique nifti")
    assert looked_at(page, number) == "shown"
    page.get_by_label("Axial").check()
    page.get_by_label("Centre").fill("-900")  # what is around the cube is grey

    shown = pixels(page, tmp_path)

    red, green, blue = (shown[..., part] for part in range(3))
    letters = (red > 200) & (green > 180) & (blue < 140)
    assert ndimage.label(letters)[1] >= 4
    around = ndimage.binary_dilation(letters, iterations=2) & ~letters
    assert not (around & (abs(red - blue) < 12) & (red > 100)).any()


def _corners(shown: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The first and the last row and column of the bright cube in the three planes; the cursor covers its middle."""
    bright = np.argwhere(shown.min(axis=2) > 200)
    return np.array([bright.min(axis=0), bright.max(axis=0)])


def _require_sides(bright: npt.NDArray[np.float64], shape: tuple[int, ...], grid: str) -> None:
    """The patient's left is on the right, and posterior is below."""
    direction = np.reshape(GRIDS[grid][0], (3, 3))
    for row, place in ((0, bright[1] / shape[1]), (1, bright[0] / shape[0])):
        axis = int(np.abs(direction[row]).argmax())
        offset = (MARKED[axis] - SIZE[axis] / 2) * direction[row, axis]
        assert (place > 0.5) == (offset > 0), grid


def _told(message: ConsoleMessage) -> str:
    """The text; "" for messages of the graphics library about its own speed."""
    return "" if "GPU stall due to ReadPixels" in message.text else message.text


def test_what_cannot_be_shown_is_said_and_the_picture_is_there_without_script(
    browser: Browser, site: Site, mary: httpx.Client, provider: httpx.Client, tmp_path: Path
) -> None:
    number, _ = finished(mary, provider, tmp_path, "oblique nifti")
    with site.program("other@example.com") as other:
        refused = other.get(f"/tickets/{number}/view")
        assert f"Ticket {number} does not exist" in refused.text
        assert "image.nii.gz" not in refused.text

    ruled = browse(browser, mary, bypass_csp=True)  # for the script of the rules
    assert looked_at(ruled, number) == "shown"
    assert violations(ruled) == []
    ruled.set_viewport_size({"width": 390, "height": 844})
    assert ruled.evaluate("document.documentElement.scrollWidth <= innerWidth")
    ruled.context.close()

    results = site.stack.datastore / layout.area_dir(number, "results")
    (image,) = results.rglob("image.nii.gz")
    image.write_bytes(b"neither of them " * 40)
    page = browse(browser, mary)
    assert looked_at(page, number) == "failed"
    expect(page.get_by_role("alert")).to_have_text("image.nii.gz is no NIfTI, NRRD or MetaImage.")
    expect(page.get_by_role("img", name=PICTURE)).to_have_count(1)
    page.context.close()

    plain = browse(browser, mary, java_script_enabled=False)
    plain.goto(f"/tickets/{number}/view")
    expect(plain.locator("main")).to_contain_text("The viewer needs JavaScript.")
    expect(plain.get_by_role("img", name=PICTURE)).to_have_count(1)
    plain.context.close()
