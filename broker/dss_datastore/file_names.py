"""Checks that Windows, macOS and Linux can all store a file name."""

import re
import unicodedata
from collections.abc import Iterable

LONGEST_BYTES = 255
_FORBIDDEN = frozenset("/\\:\0")
"""Characters that no file name may have: path separators of any system, and NUL."""
_FORBIDDEN_ON_WINDOWS = frozenset('<>"|?*')
_DEVICES = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE | re.DOTALL)
"""Names of devices, which Windows reserves, with any extension."""


def problem(name: str, *, everywhere: bool = True) -> str:
    """Why ``name`` is refused as the name of a file, as part of a sentence; "" if every operating system can store it.

    Names that begin with a dot, or cannot be printed, are refused, too.  If ``everywhere`` is False, the characters
    ``<>"|?*``, which only Windows refuses, are allowed.
    """
    forbidden = sorted(
        set(name) & (_FORBIDDEN | (_FORBIDDEN_ON_WINDOWS if everywhere else frozenset()))
    )
    if not name or name.startswith("."):
        return "it is empty or begins with a dot"
    if not name.isprintable():
        return "it has characters that cannot be printed"
    if forbidden:
        return f"it has the character {forbidden[0]}"
    if name != name.strip() or name.endswith("."):
        return "it begins or ends with a blank, or ends with a dot"
    if _DEVICES.fullmatch(name):
        return "Windows keeps this name for a device"
    if len(name.encode()) > LONGEST_BYTES:
        return f"it has more than {LONGEST_BYTES} bytes"
    return ""


def same_file(name: str, others: Iterable[str]) -> str:
    """The first of ``others`` that is spelled differently from ``name`` but is the same file on a system that ignores
    case or Unicode composition; "" if there is none.
    """
    return next(
        (other for other in others if other != name and _folded(other) == _folded(name)), ""
    )


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
