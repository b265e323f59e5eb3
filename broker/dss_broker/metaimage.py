"""Is a MetaImage header one that may be shown to ITK?  Its reader (MetaIO) writes past its arrays when the
numbers of a header do not fit each other, which ends the process; so programs ask here first.

Keys that the format does not know are no damage: ITK itself writes some (``ITK_original_spacing``), and
all that it has read from another format (``NRRD_kinds[0]``, ``pixdim[1]``).  MetaIO keeps them as texts.
"""

import re

HEADER_BYTES = 64 * 1024
_LINE = re.compile(
    rb"([A-Za-z0-9][^=:\x00-\x1f\x7f-\xff]{0,126}?) *= ?([\x20-\x7e\x80-\xff]{0,480})"
)
_NUMBER = re.compile(rb"[+-]?(\d{1,32}(\.\d{0,32})?|\.\d{1,32})([eE][+-]?\d{1,3})?")
_PER_AXIS = (
    b"DimSize ElementSpacing ElementSize Offset Position Origin CenterOfRotation ImagePosition"
).split()
_PER_TWO_AXES = b"TransformMatrix Rotation Orientation".split()
_ONE_NUMBER = (
    b"NDims CompressedDataSize CompressionLevel ElementNumberOfChannels ElementNBits HeaderSize "
    b"ID ParentID ElementMin ElementMax"
).split()
_OTHER_NUMBERS = {
    b"Color": 4,
    b"SequenceID": 4,
    b"ElementToIntensityFunctionSlope": 0,
    b"ElementToIntensityFunctionOffset": 0,
}
"""How many; 0 if ITK would not do what they ask for."""
_MOST_AXES = 4


def is_sound(start: bytes) -> bool:
    """``start`` are the first HEADER_BYTES of the file, or all of it.  The voxels must follow the header."""
    fields: dict[bytes, bytes] = {}
    for line in start.splitlines():
        found = _LINE.fullmatch(line.rstrip())
        if found is None or found[1] in fields:
            return False
        fields[found[1]] = found[2].strip()
        if found[1] == b"ElementDataFile":
            return found[2].strip().upper() == b"LOCAL" and _fit(fields)
    return False


def _fit(fields: dict[bytes, bytes]) -> bool:
    axes = fields.get(b"NDims", b"")
    if not axes.isdigit() or not 1 <= int(axes[:4]) <= _MOST_AXES:
        return False
    needed = {b"ObjectType", b"DimSize", b"ElementType"}
    return needed <= fields.keys() and all(
        _fits(key, value, int(axes)) for key, value in fields.items()
    )


def _fits(key: bytes, value: bytes, axes: int) -> bool:
    """Texts may say anything."""
    count = _numbers_of(key, axes)
    if count is None:
        return True
    numbers = value.split()
    return len(numbers) == count and all(_NUMBER.fullmatch(n) for n in numbers)


def _numbers_of(key: bytes, axes: int) -> int | None:
    """None of a text, and of what the format does not know."""
    if key in _PER_AXIS:
        return axes
    if key in _PER_TWO_AXES:
        return axes**2
    return 1 if key in _ONE_NUMBER else _OTHER_NUMBERS.get(key)
