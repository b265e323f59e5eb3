"""Reads a file with a JSON object, such as service.json, and says by line and column where it has a fault."""

import re
from codecs import BOM_UTF8
from typing import Any

import msgspec

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_FAULT = re.compile(r"JSON is malformed: (.*) \(byte (\d+)\)")


def json_object(content: bytes, name: str) -> dict[str, Any]:
    """The JSON object in ``content``, which may begin with the byte order mark of Windows editors.

    Raises ValueError, with a sentence that begins with the file's ``name``; RecursionError for many thousand levels.
    """
    content = content.removeprefix(BOM_UTF8)
    try:
        content.decode()
        found: dict[str, Any] = msgspec.json.decode(content, type=dict[str, Any])
    except UnicodeDecodeError as error:
        where = place(content, error.start)
        raise ValueError(f"{name} is not encoded in UTF-8: see {where}.") from error
    except msgspec.ValidationError as error:
        raise ValueError(f"{name} {_misfit(error)}.") from error
    except msgspec.DecodeError as error:
        raise ValueError(f"{name} is not valid JSON: {_reason(content, error)}.") from error
    return found


def place(content: bytes, byte: int) -> str:
    """The line and the column, both from 1, of the byte at index ``byte`` of ``content``."""
    before = content[:byte].decode(errors="replace")
    return f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"


def _misfit(error: msgspec.ValidationError) -> str:
    """What is wrong with valid JSON.  Any object fits, so other errors than that of a wrong type are of numbers."""
    is_type = str(error).startswith("Expected")
    return (
        "is not a JSON object, which begins with {" if is_type else "has a number that is too large"
    )


def _reason(content: bytes, error: msgspec.DecodeError) -> str:
    if found := _FAULT.fullmatch(str(error)):
        return f"{place(content, int(found[2]))}: {found[1]}"
    if "truncated" in str(error):
        half = (
            ", or has half of a surrogate pair, such as \\ud800"
            if _SURROGATE.search(content)
            else ""
        )
        return f"it ends too early, for instance without the last }}{half}"
    return str(error)
