# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""References that others made for the real volumes, and how near a segmentation comes to them."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

Voxels = npt.NDArray[np.integer]
CHEST, CHEST_REFERENCE = "cip/ct-64.nrrd", "cip/lm-64.nrrd"
BASES = "totalsegmentator/example_ct_sm.nii.gz"
BASES_REFERENCE = "totalsegmentator/example_seg.nii.gz"


def voxels_of(path: Path) -> Voxels:
    return sitk.GetArrayFromImage(sitk.ReadImage(path))


def thirds_as_sides(reference: Voxels) -> Voxels:
    """The Chest Imaging Platform keeps regions in the low byte: 9-11 left, 12-14 right."""
    region = reference & 255
    return np.select([(region >= 9) & (region <= 11), (region >= 12) & (region <= 14)], [1, 2], 0)


def lobes_as_sides(reference: Voxels) -> Voxels:
    """TotalSegmentator: 10-11 left lobes, 12-14 right lobes."""
    return np.select(
        [(reference >= 10) & (reference <= 11), (reference >= 12) & (reference <= 14)], [1, 2], 0
    )


def dice(found: Voxels, reference: Voxels) -> dict[str, float]:
    """Of both lungs together, the left (1) and the right (2)."""
    pairs = {
        "both": (found > 0, reference > 0),
        "left": (found == 1, reference == 1),
        "right": (found == 2, reference == 2),
    }
    return {k: 2 * float((a & b).sum()) / float(a.sum() + b.sum()) for k, (a, b) in pairs.items()}
