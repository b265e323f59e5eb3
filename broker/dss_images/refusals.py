"""The errors, each with its sentence, that refuse an image file: what was found and what to do.  Callers raise them.

The client, the dispatcher and the worker give the same sentence for the same file.
"""

from collections.abc import Sequence

from dss_images.errors import ImageDamaged, ImageRefused

ENDS_EARLY = "The image file is damaged: it ends too early. Send it again, whole."
CORRUPT = "The image file is damaged: its checksum does not fit. Send it again."
NOT_DECOMPRESSED = "The image file is damaged: its voxels cannot be unpacked. Send it again."
TRAILING_BYTES = (
    "The image file is damaged: it holds more voxels than its header says. Save the image anew."
)
VOXELS_IN_OTHER_FILE = (
    "The image keeps its voxels in another file; save it as one file, for instance .nii.gz."
)
UNKNOWN_FORMAT = (
    "The file is not an image of NIfTI, NRRD or MetaImage; save it as one, for instance .nii.gz."
)
_CLAIMED = {
    ".nii": "a NIfTI",
    ".nii.gz": "a NIfTI",
    ".nrrd": "an NRRD",
    ".nhdr": "an NRRD",
    ".mha": "a MetaImage",
    ".mhd": "a MetaImage",
}
"""The format that a file name promises by its ending, with an article."""
EMPTY = "The image file is empty; send an image of NIfTI, NRRD or MetaImage."
ANALYZE = (
    "The image is ANALYZE 7.5, which does not say which side is left; save it as NIfTI where the "
    "orientation is known."
)
SHEARED = "The image has axes that are not at right angles; save it resampled to axes that are."
INVALID_SPACING = "The image has a spacing that is no length; each must be above 0 mm."
INVALID_ORIGIN = "The image has a position in space that is no number; save it anew."
INVALID_SCALING = (
    "The image's header says that its values are to be scaled, but not by which numbers; "
    "save it with its values as they are."
)
COMPLEX = "The image has complex numbers; one real number in each voxel is needed."


def unknown(name: str) -> ImageRefused:
    """The refusal of the file ``name``, whose content is of no known format."""
    claimed = next((c for ending, c in _CLAIMED.items() if name.lower().endswith(ending)), "")
    if not claimed:
        return ImageRefused(UNKNOWN_FORMAT)
    return ImageRefused(
        f"The file is not {claimed} file, whatever its name says; save the image as NIfTI, NRRD or MetaImage "
        "from a program that reads it."
    )


def damaged(sentence: str) -> ImageDamaged:
    """The refusal of a damaged file; ``sentence`` describes the damage."""
    return ImageDamaged(sentence)


def bad_header(format_name: str, finding: str) -> ImageDamaged:
    """The refusal of an image with a damaged header.  ``finding`` says what is wrong, as part of the sentence."""
    return ImageDamaged(
        f"The header of this {format_name} is damaged: {finding}. Save the image anew."
    )


def misnamed(format_name: str, suffix: str) -> ImageRefused:
    """The refusal of a file whose suffix does not fit its format."""
    shown = f"ends in '{suffix}'" if suffix else "has no ending"
    return ImageRefused(
        f"The file is {format_name}, but its name {shown}; give it the right ending."
    )


def unknown_orientation(finding: str) -> ImageRefused:
    """The refusal of an image of unknown orientation.  ``finding`` says why, as part of the sentence."""
    return ImageRefused(
        f"The image does not say how it lies in the patient ({finding}), so that left and right would be a "
        "guess; save it from a program that knows, for instance ITK-SNAP."
    )


def forms_disagree(apart_mm: float) -> ImageRefused:
    """The refusal of an image whose qform and sform differ, by up to ``apart_mm`` at its corners."""
    return ImageRefused(
        f"The image says two places for itself: its qform and its sform are up to {apart_mm:.3g} mm apart, "
        "and programs differ in which they take; save it with one."
    )


def spacings_disagree(one: Sequence[float], other: Sequence[float]) -> ImageRefused:
    """The refusal of an image whose voxel sizes by pixdim (``one``) and by the sform (``other``) differ."""
    return ImageRefused(
        f"The image says two spacings: {_listed(one)} mm (pixdim) and {_listed(other)} mm (sform); "
        "save it with one."
    )


def unknown_unit(unit: str) -> ImageRefused:
    """The refusal of an image with an unknown unit of length."""
    return ImageRefused(f"The image measures lengths in '{unit}'; millimetres are needed.")


def unknown_kind(kind: str) -> ImageRefused:
    """The refusal of an image whose voxel type is not supported."""
    return ImageRefused(
        f"The image has voxels of the type '{kind}'; integers or floating-point numbers of at most 64 bits "
        "are needed."
    )


def unknown_packing(encoding: str) -> ImageRefused:
    """The refusal of an image whose compression is not supported."""
    return ImageRefused(
        f"The image is packed as '{encoding}', which cannot be read; save it packed with gzip, or not packed."
    )


def empty_dimension(size: Sequence[int]) -> ImageDamaged:
    """The refusal of an image with a dimension smaller than 1."""
    return ImageDamaged(f"The image's header says {_voxels(size)}; each number must be 1 or more.")


def no_time_point(number: int, count: int) -> ImageRefused:
    """The refusal of an image with ``count`` time points, of which none has the number ``number``, from 1."""
    has = "1 time point" if count == 1 else f"{count} time points"
    needed = "1" if count == 1 else f"a number from 1 to {count}"
    return ImageRefused(
        f"The image has {has}, and none with the number {number}; {needed} is needed."
    )


def wrong_dimensions(count: int) -> ImageRefused:
    """The refusal of an image with other than 3 or 4 dimensions."""
    shown = "1 dimension" if count == 1 else f"{count} dimensions"
    return ImageRefused(f"The image has {shown}; a volume has 3, or 4 with time points.")


def several_values(count: int) -> ImageRefused:
    """The refusal of an image with several values per voxel."""
    return ImageRefused(f"The image has {count} values in each voxel; one is needed.")


def few_slices(size: Sequence[int]) -> ImageRefused:
    """The refusal of an image with too few voxels along an axis."""
    return ImageRefused(f"The image has {_voxels(size)}; a volume of several slices is needed.")


def too_many_voxels(size: Sequence[int]) -> ImageRefused:
    """The refusal of an image with too many voxels."""
    fewer = "; send fewer time points" if len(size) > 3 else ""
    return ImageRefused(
        f"The image has {_voxels(size)}, more than can be worked on at once{fewer}."
    )


def too_many_bytes(found: int, most: int) -> ImageRefused:
    """The refusal of an image that needs too much memory."""
    return ImageRefused(
        f"The image takes {found / 2**30:.0f} GB; at most {most / 2**30:.0f} GB can be worked on at once. "
        "Save it with 16 bits a voxel, or crop it."
    )


def too_long(longest_mm: float) -> ImageRefused:
    """The refusal of an image that is too long in millimetres."""
    return ImageRefused(
        f"The image is {longest_mm:g} mm long, which no patient is: check its spacing."
    )


def not_finite(index: Sequence[int]) -> ImageRefused:
    """The refusal of an image with voxels that are not finite; ``index`` (x, y, z) is the first of them."""
    return ImageRefused(
        f"The image has voxels that are not numbers (NaN or infinite), the first at {_listed(index)}; give "
        "every voxel a value, in a CT for instance -1000."
    )


def _voxels(size: Sequence[int]) -> str:
    return " x ".join(str(n) for n in size) + " voxels"


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{n:g}" for n in numbers)
