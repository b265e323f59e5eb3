"""What the user should know about a lung segmentation."""

from dss_broker.messages import Note
from dss_inference.lungs.quality import Quality

NO_LUNG = "No lung was found in this image."
_LIMITS = (
    "The lungs were found by rules from their air: consolidation, effusion, collapsed lung and "
    "large masses at the chest wall are not included."
)


def notes_on(quality: Quality | None) -> tuple[Note, ...]:
    """None: no lung was found."""
    if quality is None:
        return (Note(level="warning", text=NO_LUNG),)
    warnings = (Note(level="warning", text=flag.text) for flag in quality.flags)
    return (*warnings, Note(level="info", text=_LIMITS))
