"""Makes the labels of the lungs that were found, for the bundle ``lung-segmentation``, and decides, for it and for
``nodule-detection``, whether the segmentation is good, has to be checked, or fails the request.
"""

from dss_broker.messages import Label
from dss_inference.ct.counting import voxels_by_value
from dss_inference.ct.reading import Ct
from dss_inference.errors import InferenceError
from dss_inference.lungs.hounsfield import require_contrast
from dss_inference.lungs.image_doubts import is_mixed
from dss_inference.lungs.quality import Quality, Verdict, quality_of
from dss_inference.lungs.segment import Lungs
from dss_inference.lungs.sides import LEFT, RIGHT, UNSIDED, Sides

_NAMES = {LEFT: "left lung", RIGHT: "right lung", UNSIDED: "lung"}
_COLOURS = {LEFT: (84, 155, 224), RIGHT: (240, 146, 88), UNSIDED: (120, 200, 130)}
_SUSPECT_ML = 20.0
_LEAST_ACROSS_MM = 60.0
"""Smallest width or depth of an image, the larger of both, that may show a chest: a premature infant's is 80 mm wide."""


def judged_lungs(lungs: Lungs, ct: Ct) -> Quality | None:
    """The assessment of ``lungs`` in the complete image; None if the image shows no lung.

    Raises InferenceError, which the user reads, if more was found than lungs can hold; or if no lung was found, but the
    image has more than 20 ml that may be lung, or its values, its spacing or the order of its slices are not those of a
    chest CT.
    """
    if lungs.signs is None:
        _require_no_suspect(lungs)
        require_contrast(ct.hu)
        _require_order(ct)
        _require_size(ct)
        return None
    labels = labels_of(lungs.sides, ct.grid.voxel_ml)
    quality = quality_of(lungs.sides, ct.hu, labels, lungs.signs)
    if quality.verdict == Verdict.UNUSABLE:
        total_ml = sum(quality.volumes_ml.values())
        raise InferenceError(
            f"What was found as lungs holds {total_ml:.0f} ml, which no lungs do: the segmentation is not "
            "usable. Please check the spacing of the image and that it is a chest CT in Hounsfield units."
        )
    return quality


def _require_no_suspect(lungs: Lungs) -> None:
    if lungs.suspect_ml > _SUSPECT_ML:
        raise InferenceError(
            f"No lung was found, but {lungs.suspect_ml:.0f} ml may be lung that the rules did not take for it: too dark, too "
            "even, or open to the border of the view. Please check that the image is a chest CT in Hounsfield units."
        )


def _require_order(ct: Ct) -> None:
    if is_mixed(ct.hu):
        raise InferenceError(
            "No lung was found, and every second slice is more like the next but one than like its neighbour: are "
            "slices of two places mixed, or is every second slice empty?"
        )


def _require_size(ct: Ct) -> None:
    _, *in_plane = (n * s for n, s in zip(ct.hu.shape, ct.spacing_mm, strict=True))
    across_mm = max(in_plane)
    if across_mm < _LEAST_ACROSS_MM:
        raise InferenceError(
            f"No lung was found, and the image is only {across_mm:.0f} mm across, which shows no chest: please "
            "check its spacing, which is needed in millimetres."
        )


def labels_of(found: Sides, voxel_ml: float) -> tuple[Label, ...]:
    """The labels of the left and the right lung with name, colour and volume; a lung without voxels has 0 ml.  If the
    sides are not known (UNSIDED), it is one label named "lung".

    ``voxel_ml`` is the volume of a voxel of ``found``.
    """
    counts = voxels_by_value(found)
    sides = (UNSIDED,) if counts[UNSIDED] else (LEFT, RIGHT)
    return tuple(
        Label(
            value=s,
            name=_NAMES[s],
            rgb=_COLOURS[s],
            volume_ml=round(float(counts[s]) * voxel_ml, 1),
        )
        for s in sides
    )
