# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""A DICOM series as the layer that is uploaded: the file, not only the image, is what the tags say."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_client.errors import ImageUnreadable
from dss_submission.images import write_layer
from support.dicom_series import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    TILTED,
    Plane,
    plane,
    stack,
    write,
    write_enhanced,
    write_frames,
)
from support.dicom_truth import require_exact, require_resampled

OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, 0.8)
FAR = (-712.337, 655.421, -1999.995)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, SAGITTAL, OBLIQUE])
@pytest.mark.parametrize("way", [write, write_enhanced, write_frames])
def test_the_uploaded_file_is_exact(
    tmp_path: Path,
    out: Path,
    orientation: tuple[float, ...],
    way: Callable[[Path, Sequence[Plane]], Path],
) -> None:
    planes = stack(20, 3.0, orientation, FAR, size=(24, 40), spacing=(0.703125, 0.9))
    slope = 0.5 if way is write else 1.0
    planes = [replace(p, slope=slope, intercept=-1024.0) for p in planes]

    layer = write_layer(way(tmp_path / "study", planes), out)

    require_exact(sitk.ReadImage(str(layer.path)), planes)


def test_the_uploaded_file_of_a_tilted_series_is_that_of_its_tags(
    tmp_path: Path, out: Path
) -> None:
    planes = [plane((FAR[0], FAR[1], FAR[2] + 3.0 * k), k + 1, TILTED) for k in range(20)]

    layer = write_layer(write(tmp_path / "study", planes), out)

    require_resampled(sitk.ReadImage(str(layer.path)), planes)
    assert [note.level for note in layer.notes] == ["info", "warning", "info"]


def test_a_refused_series_leaves_no_file(tmp_path: Path, out: Path) -> None:
    planes = stack()

    with pytest.raises(ImageUnreadable, match="3 slices between InstanceNumber 8"):
        write_layer(write(tmp_path / "study", planes[:8] + planes[11:]), out)

    assert list(out.iterdir()) == []
