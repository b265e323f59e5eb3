"""Finds haze: tissue denser than healthy lung and less dense than flesh, as ground glass and partly collapsed lung
are.

Every border between air and flesh has single voxels of such density.  Blocks of 12 mm in which each voxel's
neighbourhood has it do not occur in a healthy body.
"""

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from dss_inference.lungs.view import Flags, View, open_to_side, spread, thinned

_GRID_MM = 4.0
_HAZY_HU = (-500, -200)
"""Range of the HU of haze; fat begins at about -150 HU."""
_BLOCK = ndi.generate_binary_structure(3, 3)
_LEAST_ML = 10.0
_LARGE_ML = 300.0
_LEAST_OF_LUNGS = 0.1
_LEAST_CONTACT_MM2 = 200.0


def hazy(smooth: npt.NDArray[np.float32], to_side: Flags) -> Flags:
    """Voxels of haze in the body that lie in blocks of at least 3 x 3 x 3 voxels; all arrays are (z, y, x) on a grid of
    about 4 mm.

    ``smooth`` is the mean HU of each voxel's neighbours.  ``to_side`` are the voxels that are open to the image's side;
    they are excluded.
    """
    between = (smooth > _HAZY_HU[0]) & (smooth < _HAZY_HU[1]) & ~to_side
    return np.asarray(ndi.binary_opening(between, _BLOCK), bool)


def hazy_lung(view: View, lungs: Flags, middle_x: float) -> Flags:
    """Voxels (z, y, x) of haze outside ``lungs`` that count as lung, because the connected part of haze has more than
    10 ml and touches ``lungs`` on more than 2 cm2, or is as large as a lung (300 ml) and lies at the lungs' height for
    the most part.

    ``middle_x`` is the x index of the body's middle.  On a side of the body with less than a tenth of the lungs, haze
    counts only if it is as large as a lung.  Voxels of flesh are left out.
    """
    steps = view.steps(_GRID_MM)
    smooth = ndi.uniform_filter(view.hu, 3)
    haze = _kept(view.thinned(smooth, steps), thinned(lungs, steps), middle_x / steps[2])
    near = spread(ndi.binary_dilation(haze, _BLOCK), steps, lungs.shape)
    return near & ~lungs & (smooth < _HAZY_HU[1])


def _kept(few: View, lungs: Flags, middle_x: float) -> Flags:
    """The connected parts of haze that count as lung, by the rules of ``hazy_lung``; all arrays are on a grid of about
    4 mm.
    """
    parts, count = ndi.label(hazy(few.smooth, open_to_side(few)) & ~lungs)
    sizes, near, beside, to_left = (
        np.bincount(parts[where].ravel(), minlength=count + 1)
        for where in (
            ...,
            ndi.binary_dilation(lungs),
            lungs.any(axis=(1, 2)),
            (slice(None), slice(None), slice(max(0, round(middle_x)), None)),
        )
    )
    left = float(lungs[:, :, max(0, round(middle_x)) :].sum()) / max(1, int(lungs.sum()))
    on_its_side = np.where(to_left > sizes / 2, left, 1 - left)
    _, dy, dx = few.spacing_mm
    touching = (near * dy * dx > _LEAST_CONTACT_MM2) & (on_its_side > _LEAST_OF_LUNGS)
    is_haze = touching & (sizes * few.voxel_ml > _LEAST_ML)
    is_haze |= (sizes * few.voxel_ml > _LARGE_ML) & (beside > sizes / 2)
    is_haze[0] = False
    return np.asarray(is_haze[parts], bool)
