"""Where the packed voxels of a MetaImage or NRRD file are.

ITK must not unpack them unchecked: of a damaged MetaImage it takes whatever comes out, or never comes to an
end, and the last bytes of an NRRD file it does not look at.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from dss_broker.metaimage import HEADER_BYTES

_META_FIELD = re.compile(rb"^(\w+) *= *([^\r\n]*?)[ \r]*\n", re.MULTILINE)
_NRRD_FIELD = re.compile(rb"^([\w ]+?) *: *([^\r\n]*?)[ \r]*\n", re.MULTILINE)
_NRRD_END = re.compile(rb"\n\r?\n")
_NRRD_SKIPS = {b"line skip", b"lineskip", b"byte skip", b"byteskip"}
_TRUE = {b"T", b"t", b"1"}
"""How the word may begin, for MetaIO."""


@dataclass(frozen=True, kw_only=True)
class Packed:
    """Gzip or zlib from ``offset_bytes`` on."""

    offset_bytes: int
    is_big_endian: bool


def packed_voxels(path: Path) -> Packed | None:
    """None if they are not packed, or in a way that the readers of these formats check themselves."""
    find = {".mha": _in_meta, ".mhd": _in_meta, ".nrrd": _in_nrrd}.get(path.suffix.lower())
    if find is None:
        return None
    with path.open("rb") as file:
        return find(file.read(HEADER_BYTES))


def _in_meta(start: bytes) -> Packed | None:
    fields: dict[bytes, bytes] = {}
    for found in _META_FIELD.finditer(start):
        fields[found[1]] = found[2]
        if found[1] == b"ElementDataFile":
            is_big = _is_true(fields, b"BinaryDataByteOrderMSB", b"ElementByteOrderMSB")
            is_packed = _is_true(fields, b"CompressedData") and _is_true(fields, b"BinaryData")
            return Packed(offset_bytes=found.end(), is_big_endian=is_big) if is_packed else None
    return None


def _is_true(fields: dict[bytes, bytes], *names: bytes) -> bool:
    return any(fields.get(name, b"")[:1] in _TRUE for name in names)


def _in_nrrd(start: bytes) -> Packed | None:
    end = _NRRD_END.search(start)
    if end is None:
        return None
    fields = {key.lower(): value.lower() for key, value in _NRRD_FIELD.findall(start[: end.end()])}
    if fields.get(b"encoding") not in {b"gzip", b"gz"} or _NRRD_SKIPS & fields.keys():
        return None
    return Packed(offset_bytes=end.end(), is_big_endian=fields.get(b"endian") == b"big")
