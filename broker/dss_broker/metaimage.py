"""Is a MetaImage header one that may be shown to ITK?  Its reader (MetaIO) writes past its arrays when the
numbers of a header do not fit each other, which ends the process; so programs ask here first.
"""

import re

HEADER_BYTES = 64 * 1024
_LINE = re.compile(rb"([A-Za-z][A-Za-z0-9_]{0,63}) *= ?([\x20-\x7e]{0,512})")
_NUMBER = re.compile(rb"[+-]?(\d{1,32}(\.\d{0,32})?|\.\d{1,32})([eE][+-]?\d{1,3})?")
_PER_AXIS = b"DimSize ElementSpacing ElementSize Offset Position Origin CenterOfRotation".split()
_PER_TWO_AXES = b"TransformMatrix Rotation Orientation".split()
_WORDS = (
    b"ObjectType ObjectSubType ElementType AnatomicalOrientation Modality BinaryData BinaryDataByteOrderMSB "
    b"ElementByteOrderMSB CompressedData DistanceUnits Name Comment TransformType"
).split()
_ONE_NUMBER = (
    b"NDims CompressedDataSize CompressionLevel ElementNumberOfChannels HeaderSize "
    b"ID ParentID ElementMin ElementMax"
).split()
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
    if key in _WORDS or key == b"ElementDataFile":
        return len(value) <= 128
    count = axes if key in _PER_AXIS else axes**2 if key in _PER_TWO_AXES else 1
    known = key in (*_PER_AXIS, *_PER_TWO_AXES, *_ONE_NUMBER)
    numbers = value.split()
    return known and len(numbers) == count and all(_NUMBER.fullmatch(n) for n in numbers)
