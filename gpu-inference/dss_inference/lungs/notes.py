"""Makes the notes for the user about a lung segmentation, which appear in the ticket's log."""

from dss_broker.messages import Note
from dss_inference.lungs.quality import REMARKS, Quality, Verdict

NO_LUNG = "No lung was found in this image."
NOT_IN_BOX = "No lung was found in the marked box."
_BOXED = "The verdict is on the lungs of the whole image, and so is the report; the segmentation holds the marked box."
_LIMITS = (
    "The lungs were found by rules from their air: consolidation, effusion, collapsed lung and "
    "large masses at the chest wall are not included."
)


def notes_on(
    quality: Quality | None, *, boxed: bool = False, empty: bool = False
) -> tuple[Note, ...]:
    """Notes for the user: the verdict, then warnings and the limits of the method.  ``quality`` is None if no lung was
    found; then a single note says so.

    ``boxed``: the user marked a box; a note after the verdict says that the verdict is on the lungs of the whole image.
    ``empty``: the marked box contains no lung; then, instead, a note on this comes first.
    """
    if quality is None:
        return (Note(level="warning", text=NO_LUNG),)
    first = [verdict_on(quality)]
    if boxed and empty:
        first.insert(0, Note(level="warning", text=NOT_IN_BOX))
    elif boxed:
        first.append(Note(level="info", text=_BOXED))
    warnings = (Note(level="warning", text=flag.text) for flag in quality.flags)
    return (*first, *warnings, Note(level="info", text=_LIMITS))


def verdict_on(quality: Quality) -> Note:
    """The note that states the verdict on the segmentation."""
    reasons = sum(flag.code not in REMARKS for flag in quality.flags)
    if quality.verdict == Verdict.GOOD:
        return Note(level="info", text="Verdict on the lungs: good.")
    why = "1 reason" if reasons == 1 else f"{reasons} reasons"
    return Note(level="warning", text=f"Verdict on the lungs: {quality.verdict}, for {why}.")
