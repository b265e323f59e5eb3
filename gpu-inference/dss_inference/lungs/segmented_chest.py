"""A segmented chest on a grid of about 4 mm: the input of the measurements that may show an error of the segmentation."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dss_inference.ct.reading import LOWEST_HU
from dss_inference.lungs.cuts import surface_cut_in_slices
from dss_inference.lungs.pose import PADDING_HU, cube_mm, pose_of, upright
from dss_inference.lungs.sides import Sides
from dss_inference.lungs.view import TISSUE_HU, Flags, View, box_around, open_to_side
from dss_inference.lungs.wall import bone_in, is_noisy, without_thick_parts

_CUT_BODY = 0.02


@dataclass(frozen=True, kw_only=True)
class SegmentedChest:
    """The input of the measurements: arrays (z, y, x) on one grid of about 4 mm.  ``sides`` is the segmentation,
    ``air`` the air in the body outside the airways.  ``clear_hu`` is the HU of air in this image far from all tissue.
    """

    view: View
    sides: Sides
    air: Flags
    clear_hu: float

    @cached_property
    def lungs(self) -> Flags:
        """Voxels of both lungs, whatever their side."""
        return self.sides > 0

    @cached_property
    def padding(self) -> Flags:
        """Voxels without image that were not segmented as lung."""
        return ~self.lungs & (self.view.hu <= PADDING_HU)

    @cached_property
    def slices_with_tissue(self) -> Flags:
        """One truth value for each axial slice: False for a blank one."""
        return np.asarray((self.view.hu > TISSUE_HU).any(axis=(1, 2)), bool)

    @cached_property
    def surface_cut(self) -> tuple[float, float]:
        """The shares 0..1 of the lungs' surface that the image's edge and its padding cut in the slices, by
        ``surface_cut_in_slices``.
        """
        return surface_cut_in_slices(self.lungs, self.padding, self.view.spacing_mm)

    @cached_property
    def smooth(self) -> npt.NDArray[np.float32]:
        """Mean HU of the 27 voxels around each voxel, as in ``View``."""
        return self.view.smooth

    @cached_property
    def bone(self) -> Flags:
        """Voxels of bone and of tissue as dense, as ``bone_in`` finds them."""
        return bone_in(self.view.hu, noisy=self.noisy)

    @cached_property
    def thin_bone(self) -> Flags:
        """``bone`` without its thick parts, in the box around the lungs (complete along y); False outside that box."""
        box = box_around(self.lungs, (1, self.sides.shape[1], 1))
        thin = np.zeros_like(self.bone)
        thin[box] = without_thick_parts(self.bone[box], self.view.spacing_mm, self.view.scale)
        return thin

    @cached_property
    def noisy(self) -> bool:
        """True if the image is so noisy that thin ribs may not show, by ``is_noisy``."""
        return is_noisy(self.view.hu, self.smooth)

    @property
    def is_cut(self) -> bool:
        """True if the image cuts the body at its left or right."""
        inside = (self.view.hu > TISSUE_HU) | self.air
        return bool(max(inside[:, :, 0].mean(), inside[:, :, -1].mean()) > _CUT_BODY)

    @cached_property
    def to_side(self) -> Flags:
        """Voxels that are open to the image's side, by ``open_to_side``."""
        return open_to_side(self.view)

    def upright(self, *, shows_both_sides: bool) -> "SegmentedChest":
        """The input, rotated so that its axes are the body's; the object itself if they nearly are, if the rotation is
        too large to be corrected, or if the body's axes are not known.

        ``shows_both_sides``: the image does not cut the body at its left or right.
        """
        axes = pose_of(self.view, self.air | self.lungs, shows_both_sides=shows_both_sides)
        if axes is None:
            return self
        spacing_mm = self.view.spacing_mm
        return SegmentedChest(
            view=View(
                hu=upright(self.view.hu, spacing_mm, axes, LOWEST_HU),
                spacing_mm=(cube_mm(spacing_mm),) * 3,
            ),
            sides=upright(self.sides, spacing_mm, axes, 0),
            air=upright(self.air.view(np.uint8), spacing_mm, axes, 0) > 0,
            clear_hu=self.clear_hu,
        )
