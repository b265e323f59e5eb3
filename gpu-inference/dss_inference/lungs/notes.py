"""What the user should know about a lung segmentation."""

from dss_broker.messages import Note
from dss_inference.errors import InferenceError
from dss_inference.lungs.quality import REMARKS, Quality, Verdict

NO_LUNG = "No lung was found in this image."
_LIMITS = (
    "The lungs were found by rules from their air: consolidation, effusion, collapsed lung and "
    "large masses at the chest wall are not included."
)


def notes_on(quality: Quality | None) -> tuple[Note, ...]:
    """None: no lung was found.  The verdict comes first."""
    if quality is None:
        return (Note(level="warning", text=NO_LUNG),)
    warnings = (Note(level="warning", text=flag.text) for flag in quality.flags)
    return (verdict_on(quality), *warnings, Note(level="info", text=_LIMITS))


def verdict_on(quality: Quality) -> Note:
    reasons = sum(flag.code not in REMARKS for flag in quality.flags)
    if quality.verdict == Verdict.GOOD:
        return Note(level="info", text="Verdict on the lungs: good.")
    why = "1 reason" if reasons == 1 else f"{reasons} reasons"
    return Note(level="warning", text=f"Verdict on the lungs: {quality.verdict}, for {why}.")


def require_usable(quality: Quality) -> None:
    """Raises InferenceError with the reason."""
    if quality.verdict == Verdict.UNUSABLE:
        total_ml = sum(quality.volumes_ml.values())
        raise InferenceError(
            f"What was found as lungs holds {total_ml:.0f} ml, which no lungs do: the segmentation is not "
            "usable. Please check the spacing of the image and that it is a chest CT in Hounsfield units."
        )
