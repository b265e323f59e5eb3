# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""The picture of a segmentation, held against the label map itself, as SimpleITK resamples it."""

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
from scipy import ndimage

from dss_images.picture import window
from dss_images.picture.colours import MOST_COLOURS, SHEET, Palette
from dss_images.picture.drawing import PANEL_PIXELS
from dss_images.picture.planes import Plane
from dss_images.picture.rendering import picture_of_arrays, picture_of_files

ORIENTATIONS = ["LPS", "RAS", "ASL", "PIR", "SLA", "IRP"]
COLOURS = {1: (84, 155, 224), 700: (240, 146, 88)}
GAP_PIXELS = 8
FINE = 3
"""Parts of a pixel's side in which the truth is known."""

Array = npt.NDArray[np.int64]


@cache
def _anatomy(spacing_mm: tuple[float, float, float]) -> tuple[sitk.Image, sitk.Image]:
    """A CT-like image and labels in LPS order; two balls that lie nowhere by symmetry, in millimetres."""
    size = [round(extent / s) for extent, s in zip((180, 120, 150), spacing_mm, strict=True)]
    z, y, x = ((np.arange(n) + 0.5) * s for n, s in zip(size[::-1], spacing_mm[::-1], strict=True))
    zz, yy, xx = np.meshgrid(z, y, x, indexing="ij")
    labels = np.zeros(zz.shape, np.uint16)
    for value, (cx, cy, cz), radius in (
        (1, (52.3, 47.9, 91.7), 33),
        (700, (127.1, 71.3, 61.9), 24),
    ):
        labels[(xx - cx) ** 2 + (yy - cy) ** 2 + (zz - cz) ** 2 < radius**2] = value
    grey = (40 * xx + 7 * yy + 3 * zz).astype(np.int16) % 200 - 100
    grey[labels > 0] = -850
    images = [sitk.GetImageFromArray(a) for a in (grey, labels)]
    for image in images:
        image.SetSpacing(spacing_mm)
    return images[0], images[1]


def _pixels(png: bytes, folder: Path) -> Array:
    """(row, column, rgb)."""
    (folder / "picture.png").write_bytes(png)
    return sitk.GetArrayFromImage(sitk.ReadImage(folder / "picture.png")).astype(np.int64)


def _panels(sheet: Array, extents_mm: tuple[float, float, float]) -> list[Array]:
    """Axial, coronal, sagittal, cut out of the sheet where they have to be."""
    x, y, z = (round(mm / max(extents_mm) * PANEL_PIXELS) for mm in extents_mm)
    if 2 * z + GAP_PIXELS <= y:  # a slab: the last two are one below the other
        top, wide, left = (sheet.shape[0] - 2 * z - GAP_PIXELS) // 2, max(x, y), x + GAP_PIXELS
        places = [(0, 0, y, x)]
        for columns in (x, y):
            places.append((top, left + (wide - columns) // 2, z, columns))
            top += z + GAP_PIXELS
    else:
        places = [((sheet.shape[0] - y) // 2, 0, y, x)]
        for left, columns in ((x + GAP_PIXELS, x), (2 * (x + GAP_PIXELS), y)):
            places.append(((sheet.shape[0] - z) // 2, left, z, columns))
        assert sheet.shape[1] == 2 * (x + GAP_PIXELS) + y
    return [sheet[top : top + rows, left : left + width] for top, left, rows, width in places]


def _truths(labels: sitk.Image, panel: Array, axis: int) -> list[Array]:
    """The label map at the parts of the panel's pixels, of each slice across ``axis`` (0: z, of an LPS image) that is best."""
    upright = sitk.DICOMOrient(labels, "LPS")
    array = sitk.GetArrayFromImage(upright)
    across = tuple(a for a in range(3) if a != axis)
    shares = sum((array == v).sum(across) / (array == v).sum() for v in COLOURS)
    truths = []
    for index in np.flatnonzero(shares > shares.max() - 1e-9):
        start = [0, 0, 0]
        start[2 - axis] = int(index)
        extent = list(upright.GetSize())
        extent[2 - axis] = 1
        part = upright[tuple(slice(a, a + n) for a, n in zip(start, extent, strict=True))]
        truths.append(_resampled(part, panel, axis))
    return truths


def _resampled(part: sitk.Image, panel: Array, axis: int) -> Array:
    size = [1, 1, 1]
    rows, columns = (a for a in range(3) if a != axis)
    size[2 - rows], size[2 - columns] = FINE * panel.shape[0], FINE * panel.shape[1]
    spacing = [n * s / m for n, s, m in zip(part.GetSize(), part.GetSpacing(), size, strict=True)]
    shift = [(new - old) / 2 for new, old in zip(spacing, part.GetSpacing(), strict=True)]
    origin = np.array(part.GetOrigin()) + np.reshape(part.GetDirection(), (3, 3)) @ shift
    found = sitk.Resample(
        part, size, sitk.Transform(), sitk.sitkNearestNeighbor, origin, spacing, part.GetDirection()
    )
    plane: Array = sitk.GetArrayFromImage(found).squeeze(axis)
    return plane if axis == 0 else plane[::-1]


def _border(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """On both sides of it."""
    padded = np.pad(inside, 1, mode="edge")
    sides = padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]
    return np.asarray(np.logical_or.reduce([side != inside for side in sides]), np.bool_)


def _is_near(where: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Within one pixel, diagonals too."""
    near: npt.NDArray[np.uint8] = ndimage.maximum_filter(where.view(np.uint8), 2 * FINE + 1)
    return near.view(np.bool_)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("spacing_mm", [(0.8, 1.3, 6.0), (4.0, 0.9, 1.7)])
@pytest.mark.slow
def test_outlines_lie_within_a_pixel_of_the_label_map(
    orientation: str, spacing_mm: tuple[float, float, float], tmp_path: Path
) -> None:
    image, labels = (sitk.DICOMOrient(i, orientation) for i in _anatomy(spacing_mm))
    sitk.WriteImage(image, tmp_path / "ct.nii.gz")
    sitk.WriteImage(labels, tmp_path / "seg.nrrd")

    png = picture_of_files(tmp_path / "ct.nii.gz", tmp_path / "seg.nrrd", COLOURS)

    assert png is not None
    upright = sitk.DICOMOrient(labels, "LPS")
    extents = tuple(n * s for n, s in zip(upright.GetSize(), upright.GetSpacing(), strict=True))
    panels = _panels(_pixels(png, tmp_path), (extents[0], extents[1], extents[2]))
    for axis, panel in enumerate(panels):
        candidates = _truths(labels, panel, axis)
        assert any(_fits(panel, truth) for truth in candidates), axis


def _fits(panel: Array, truth: Array) -> bool:
    fits = []
    for value, colour in COLOURS.items():
        border, line = _border(truth == value), np.zeros(truth.shape, bool)
        line[FINE // 2 :: FINE, FINE // 2 :: FINE] = (panel == colour).all(axis=2)
        fits += [
            border.any() == line.any(),
            _is_near(border)[line].all(),
            _is_near(line)[border].all(),
        ]
    return all(fits)


def test_arrays_in_memory_give_the_same_picture_as_their_files(tmp_path: Path) -> None:
    image, labels = _anatomy((0.8, 1.3, 6.0))
    sitk.WriteImage(image, tmp_path / "ct.mha")
    sitk.WriteImage(labels, tmp_path / "seg.mha")
    arrays = [sitk.GetArrayFromImage(i) for i in (image, labels)]

    png = picture_of_arrays(arrays[0], arrays[1], (6.0, 1.3, 0.8), COLOURS)

    assert png == picture_of_files(tmp_path / "ct.mha", tmp_path / "seg.mha", COLOURS)


def test_of_a_series_the_time_point_with_labels_is_shown(tmp_path: Path) -> None:
    image, labels = _anatomy((0.8, 1.3, 6.0))
    bare, dark = labels * 0, image * 0
    sitk.WriteImage(sitk.JoinSeries([dark, image, dark]), tmp_path / "ct.nii.gz")
    sitk.WriteImage(sitk.JoinSeries([bare, labels, bare]), tmp_path / "seg.nii.gz")
    sitk.WriteImage(image, tmp_path / "one.nii.gz")
    sitk.WriteImage(labels, tmp_path / "its.nii.gz")

    png = picture_of_files(tmp_path / "ct.nii.gz", tmp_path / "seg.nii.gz", COLOURS)

    assert png == picture_of_files(tmp_path / "one.nii.gz", tmp_path / "its.nii.gz", COLOURS)


@pytest.mark.parametrize("depth", [90, 20])
def test_what_is_no_image_has_a_colour_of_its_own(depth: int, tmp_path: Path) -> None:
    """Air is black in it, and so were the gaps."""
    voxels = np.full((depth, 100, 100), -1000, np.int16)
    voxels[:, 40:60, 40:60] = 60

    sheet = _pixels(picture_of_arrays(voxels, voxels * 0, (1.0, 1.0, 1.0), {}), tmp_path)

    for panel in _panels(sheet, (100, 100, depth)):
        assert (panel == panel[:, :, :1]).all()
        panel[:] = SHEET
    assert (sheet == SHEET).all()


def test_a_label_of_a_single_voxel_is_shown(tmp_path: Path) -> None:
    voxels = np.zeros((40, 2000, 2000), np.int16)
    labels = np.zeros(voxels.shape, np.uint8)
    labels[17, 1001, 1003] = 1

    sheet = _pixels(picture_of_arrays(voxels, labels, (1.0, 0.1, 0.1), COLOURS), tmp_path)

    assert all((p == COLOURS[1]).all(axis=2).any() for p in _panels(sheet, (200, 200, 40)))


def test_an_image_without_labels_is_shown_in_its_middle(tmp_path: Path) -> None:
    voxels = np.zeros((9, 9, 9), np.int16)
    voxels[4, 4, 4] = 100

    sheet = _pixels(picture_of_arrays(voxels, voxels * 0, (1.0, 1.0, 1.0), COLOURS), tmp_path)

    middle = PANEL_PIXELS // 2
    assert all(p[middle, middle, 0] > 240 for p in _panels(sheet, (9, 9, 9)))


def test_each_label_counts_as_much_as_any_other_when_the_slice_is_chosen(tmp_path: Path) -> None:
    """The small one is in no slice of the large one's best."""
    labels = np.zeros((30, 30, 30), np.uint8)
    labels[2:20, 4:26, 4:26] = 1
    labels[20, 10:12, 10:12] = 2

    colours = {1: (255, 0, 0), 2: (0, 255, 0)}
    sheet = _pixels(picture_of_arrays(labels * 0, labels, (1.0, 1.0, 1.0), colours), tmp_path)

    assert all((p == colours[2]).all(axis=2).any() for p in _panels(sheet, (30, 30, 30)))


def _plane(grey: npt.NDArray[np.int16], labelled: slice) -> Plane:
    labels = np.zeros(grey.shape, np.uint8)
    labels[labelled, labelled] = 1
    return Plane(grey=grey, labels=labels, spacing_mm=(1.0, 1.0), edges="RLAP")


@pytest.mark.parametrize(
    ("inside", "outside", "expected"),
    [
        (-850, 40, window.LUNG),  # a lung
        (30, -850, window.LUNG),  # a nodule
        (60, -100, window.SOFT_TISSUE),  # a liver
    ],
)
def test_a_ct_is_shown_in_the_window_of_what_was_marked(
    inside: int, outside: int, expected: window.Window
) -> None:
    grey = np.full((40, 40), outside, np.int16)
    grey[10:20, 10:20] = inside
    grey[0] = -1000

    assert window.window_of([_plane(grey, slice(10, 20))]) == expected


def test_another_modality_is_shown_in_its_own_range_without_its_outliers() -> None:
    grey = np.tile(np.arange(1, 1001), (100, 1)).astype(np.int16)
    grey[0, 0] = 32000

    found = window.window_of([_plane(grey, slice(0, 0))])

    assert 1 <= found.low <= 20
    assert 980 <= found.high <= 1000


def test_more_labels_than_a_palette_has_places_share_the_nearest_colours() -> None:
    colours = {value: (value, value, 0) for value in range(1, 251)}

    palette = Palette(colours, colours)

    assert len(palette.colours) == 256
    assert palette.greys == 255 - MOST_COLOURS
    assert palette.colours[palette.place(250)] == (MOST_COLOURS, MOST_COLOURS, 0)
