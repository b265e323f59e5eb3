"""What the user should know about a lung segmentation."""

from collections.abc import Iterator, Sequence

from dss_broker.messages import Label, Note
from dss_inference.lungs.sides import UNSIDED, Sides

NO_LUNG = "No lung was found in this image."
_USUAL_ML = (1000, 9000)
_LIMITS = (
    "The lungs were found by rules from their air: consolidation, effusion, collapsed lung and "
    "large masses at the chest wall are not included."
)


def notes_on(found: Sides, labels: Sequence[Label]) -> tuple[Note, ...]:
    """``found`` is (z, y, x); ``labels`` are its labels with their volumes."""
    if not found.any():
        return (Note(level="warning", text=NO_LUNG),)
    warnings = _warnings(cut=_is_cut(found), labels=labels)
    return (
        *(Note(level="warning", text=text) for text in warnings),
        Note(level="info", text=_LIMITS),
    )


def _is_cut(found: Sides) -> bool:
    ends = (found[0], found[-1], found[:, 0], found[:, -1], found[:, :, 0], found[:, :, -1])
    return any(bool(end.any()) for end in ends)


def _warnings(*, cut: bool, labels: Sequence[Label]) -> Iterator[str]:
    if cut:
        yield "The lungs reach the border of the image; the volumes are of the part in view."
    missing = [label.name for label in labels if not label.volume_ml]
    if missing:
        yield f"The {missing[0]} was not found."
    if any(label.value == UNSIDED for label in labels):
        yield "One lung was found, and this view does not tell which; it is called 'lung'."
    total_ml = sum(label.volume_ml for label in labels)
    if not cut and not _USUAL_ML[0] <= total_ml <= _USUAL_ML[1]:
        yield f"The lungs hold {total_ml:.0f} ml, which is unusual; please check the segmentation."
