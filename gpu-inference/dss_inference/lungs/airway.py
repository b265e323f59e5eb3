"""Finds the windpipe and the main bronchi, which contain air but are not lung, so that the lung segmentation can leave
them out.
"""

import numpy as np
import scipy.ndimage as ndi

from dss_inference.lungs.view import Flags, View

_LUMEN_HU = -850
_AREA_MM2 = (50, 700)
_OFF_MIDLINE_MM = 50
_LENGTH_MM = 20
_LARGEST_ML = 90
_LEAK = 1.6
"""Largest factor by which one step of the threshold may multiply the volume of a region of more than 15 ml; more means
that the region has leaked through a wall into the lung.
"""


def airway(view: View, enclosed: Flags, midline: float) -> Flags:
    """Voxels inside the windpipe and the main bronchi, as far as their walls are visible; all False if no windpipe is
    found. The windpipe is grown with a HU threshold that rises from -950 to -625, until the region leaks into the lung,
    which is also assumed above 90 ml; the region before the leak is returned.

    ``enclosed`` are the voxels (z, y, x) of air inside the body; ``midline`` is the x index of the middle of the body.
    """
    seed = _windpipe(view, enclosed, midline)
    found = seed
    for threshold in range(-950, -600, 25):
        grown = _connected(enclosed & ((view.hu < threshold) | seed), seed)
        if seed.sum() * view.voxel_ml > 0 and _leaks(found, grown, view.voxel_ml):
            break
        found = grown
    return found


def _leaks(before: Flags, after: Flags, voxel_ml: float) -> bool:
    volume_ml, grown_ml = float(before.sum()) * voxel_ml, float(after.sum()) * voxel_ml
    return grown_ml > _LARGEST_ML or (grown_ml > 15 and grown_ml > _LEAK * volume_ml)


def _connected(flags: Flags, seed: Flags) -> Flags:
    label, count = ndi.label(flags)
    wanted = np.zeros(count + 1, bool)
    wanted[np.unique(label[seed])] = True
    wanted[0] = False
    return wanted[label]


def _windpipe(view: View, enclosed: Flags, midline: float) -> Flags:
    """The longest sequence of small round cross-sections near the midline, from slice to slice; all False if it is
    shorter than 20 mm.
    """
    lumen = np.zeros(enclosed.shape, bool)
    for z in range(enclosed.shape[0]):
        lumen[z] = _lumina(view, enclosed[z] & (view.hu[z] < _LUMEN_HU), midline)
    label, count = ndi.label(lumen)
    if not count:
        return lumen
    extents = [box[0].stop - box[0].start for box in ndi.find_objects(label)]
    longest = int(np.argmax(extents))
    if extents[longest] * view.spacing_mm[0] < _LENGTH_MM:
        return np.zeros_like(lumen)
    return np.equal(label, longest + 1)


def _lumina(view: View, air: Flags, midline: float) -> Flags:
    """The parts of ``air``, flags (y, x) of one slice, whose area, shape and distance from ``midline`` fit a windpipe."""
    label, count = ndi.label(air)
    is_lumen = np.zeros(count + 1, bool)
    _, dy, dx = view.spacing_mm
    for i, box in enumerate(ndi.find_objects(label), start=1):
        height, width = (box[0].stop - box[0].start) * dy, (box[1].stop - box[1].start) * dx
        area = float((label[box] == i).sum()) * dy * dx
        off_mm = abs((box[1].start + box[1].stop - 1) / 2 - midline) * dx
        compact = area > 0.5 * height * width and max(height, width) < 2.2 * min(height, width)
        is_lumen[i] = _AREA_MM2[0] <= area <= _AREA_MM2[1] and off_mm <= _OFF_MIDLINE_MM and compact
    return is_lumen[label]
