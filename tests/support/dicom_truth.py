# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Is an image what the tags of its slices say?  Judged from the written planes alone."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from support.dicom_series import Plane, ramp

TOLERANCE_MM = 0.01
RAMP_SHARE = 0.01

Points = npt.NDArray[np.float64]


def corners(one: Plane) -> Points:
    """The outer corners of the plane's pixels."""
    rows, columns = one.stored.shape
    return np.array(
        [one.point(c, r) for r in (-0.5, rows - 0.5) for c in (-0.5, columns - 0.5)], dtype=float
    )


def image_points(image: sitk.Image, indices: Points) -> Points:
    """Places of voxel indices (x, y, z)."""
    axes = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    return np.asarray(np.array(image.GetOrigin()) + indices @ axes.T)


def require_exact(image: sitk.Image, wanted: Sequence[Plane]) -> None:
    """Every voxel corner is within 0.01 mm of the tags, and every value the very one."""
    first = wanted[0]
    normal = np.cross(first.orientation[:3], first.orientation[3:])
    ordered = sorted(wanted, key=lambda p: float(np.array(p.position) @ normal))
    rows, columns = first.stored.shape
    assert image.GetSize() == (columns, rows, len(wanted))
    voxels = sitk.GetArrayViewFromImage(image)
    ends = [(c, r) for r in (-0.5, rows - 0.5) for c in (-0.5, columns - 0.5)]
    for k, one in enumerate(ordered):
        found = image_points(image, np.array([(c, r, float(k)) for c, r in ends]))
        assert np.linalg.norm(found - corners(one), axis=1).max() <= TOLERANCE_MM
        assert np.array_equal(voxels[k], one.values)


def require_resampled(image: sitk.Image, wanted: Sequence[Plane], share: float = RAMP_SHARE) -> int:
    """The new grid begins and ends with the slices, covers them, and shows the ramp; how many voxels do."""
    first = wanted[0]
    axes = np.array(image.GetDirection()).reshape(3, 3)
    normal = np.cross(first.orientation[:3], first.orientation[3:])
    ordered = sorted(wanted, key=lambda p: float(np.array(p.position) @ normal))
    size, spacing = image.GetSize(), np.array(image.GetSpacing())
    index = (np.concatenate([corners(p) for p in ordered]) - image.GetOrigin()) @ axes / spacing
    off_mm = index * spacing
    last_mm = (np.array(size) - 0.5) * spacing
    assert np.abs(index[:4, 2]).max() * spacing[2] <= TOLERANCE_MM
    assert np.abs(off_mm[-4:, 2] - (size[2] - 1) * spacing[2]).max() <= TOLERANCE_MM
    assert (off_mm[:, :2] >= -0.5 * spacing[:2] - TOLERANCE_MM).all()
    assert (off_mm[:, :2] <= last_mm[:2] + TOLERANCE_MM).all()
    assert np.abs(off_mm[:, :2].min(axis=0) + 0.5 * spacing[:2]).max() <= TOLERANCE_MM
    return _require_ramp(image, ordered, share)


def _require_ramp(image: sitk.Image, ordered: Sequence[Plane], share: float) -> int:
    size, spacing = image.GetSize(), np.array(image.GetSpacing())
    axes = np.array(image.GetDirection()).reshape(3, 3)
    rows, columns = ordered[0].stored.shape
    grid = np.stack(np.meshgrid(*[np.arange(n, dtype=float) for n in size], indexing="ij"), axis=-1)
    points = image_points(image, grid)
    corner = (np.array([p.position for p in ordered]) - image.GetOrigin()) @ axes
    places = np.arange(size[2]) * spacing[2]
    shift = np.stack([np.interp(places, corner[:, 2], corner[:, k]) for k in range(2)], axis=-1)
    own = grid[..., :2] - (shift / spacing[:2])[None, None]
    inside = (own >= 0).all(axis=-1) & (own[..., 0] <= columns - 1) & (own[..., 1] <= rows - 1)
    truth = ramp(points)
    voxels = sitk.GetArrayViewFromImage(image).transpose(2, 1, 0)
    allowed = share * (truth[inside].max() - truth[inside].min())
    assert np.abs(voxels - truth)[inside].max() <= allowed
    return int(inside.sum())
