"""Names of files that every client and every system can store: what Windows, macOS and Linux each refuse."""

import re
import unicodedata
from collections.abc import Iterable

LONGEST_BYTES = 255
_NOWHERE = frozenset("/\\:\0")
"""Separators of one system or another, and what ends a name; ``dss`` saves no file with one of them."""
_NOT_ON_WINDOWS = frozenset('<>"|?*')
_DEVICES = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE | re.DOTALL)
"""Names that Windows keeps for its devices, with any extension."""


def problem(name: str, *, everywhere: bool = True) -> str:
    """Why not every system can store a file called ``name``, as part of a sentence; "" if all can.

    Unless it is for use ``everywhere``, the characters that only Windows refuses are let pass.
    """
    forbidden = sorted(set(name) & (_NOWHERE | (_NOT_ON_WINDOWS if everywhere else frozenset())))
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
    """Which of ``others`` is the same file as ``name`` where case and composition of letters do not count;
    "" if none is.
    """
    return next(
        (other for other in others if other != name and _folded(other) == _folded(name)), ""
    )


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
