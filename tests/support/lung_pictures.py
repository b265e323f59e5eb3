# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""What was found beside what is true, as a picture."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from support.lung_disease import Chest, Flags

Plane = npt.NDArray[np.uint8]
_FOUND, _TRUE = (255, 60, 60), (60, 255, 60)
_WINDOW_HU = (-1050, 250)


def write_picture(path: Path, chest: Chest, found: Flags) -> None:
    """An axial, a coronal and a sagittal plane through the midst of the lungs: green is true, red is found."""
    truth = chest.truth > 0
    middle = [round(float(c)) for c in ndi.center_of_mass(truth | found)]
    planes = [
        _plane(
            np.asarray(chest.hu.take(middle[axis], axis), np.int16),
            np.asarray(truth.take(middle[axis], axis), bool),
            np.asarray(found.take(middle[axis], axis), bool),
            spacing_mm=tuple(np.delete(chest.spacing_mm, axis).tolist()),
            head_up=axis > 0,
        )
        for axis in range(3)
    ]
    height = max(p.shape[0] for p in planes)
    rows = [np.pad(p, [(0, height - p.shape[0]), (2, 2), (0, 0)]) for p in planes]
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(np.concatenate(rows, axis=1), isVector=True), path)


def _plane(
    hu: npt.NDArray[np.int16],
    truth: Flags,
    found: Flags,
    *,
    spacing_mm: tuple[float, ...],
    head_up: bool,
) -> Plane:
    low, high = _WINDOW_HU
    grey = np.clip((hu.astype(np.float32) - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    rgb = np.repeat(grey[..., None], 3, axis=2)
    for flags, colour in ((truth, _TRUE), (found, _FOUND)):
        rgb[flags & ~ndi.binary_erosion(flags)] = colour
    rows, columns = (
        np.arange(0, n, 2 / s).astype(int) for n, s in zip(hu.shape, spacing_mm, strict=True)
    )
    shown = rgb[np.ix_(rows, columns)]
    return np.asarray(shown[::-1] if head_up else shown, np.uint8)
