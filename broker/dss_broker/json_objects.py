"""Reads a file with a JSON object, such as service.json, and says by line and column where it has a fault."""

import re
from typing import Any

import msgspec

_FAULT = re.compile(r"JSON is malformed: (.*) \(byte (\d+)\)")


def json_object(content: bytes, name: str) -> dict[str, Any]:
    """The JSON object in ``content``.  Raises ValueError, with a sentence that begins with the file's ``name``."""
    try:
        content.decode()
        found: dict[str, Any] = msgspec.json.decode(content, type=dict[str, Any])
    except UnicodeDecodeError as error:
        where = place(content, error.start)
        raise ValueError(f"{name} is not encoded in UTF-8: see {where}.") from error
    except msgspec.ValidationError as error:
        raise ValueError(f"{name} is not a JSON object, which begins with {{.") from error
    except msgspec.DecodeError as error:
        raise ValueError(f"{name} is not valid JSON: {_reason(content, error)}.") from error
    return found


def place(content: bytes, byte: int) -> str:
    """The line and the column, both from 1, of the byte at index ``byte`` of ``content``."""
    before = content[:byte].decode(errors="replace")
    return f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"


def _reason(content: bytes, error: msgspec.DecodeError) -> str:
    if found := _FAULT.fullmatch(str(error)):
        return f"{place(content, int(found[2]))}: {found[1]}"
    if "truncated" in str(error):
        return "it ends too early, for instance without the last }"
    return str(error)
