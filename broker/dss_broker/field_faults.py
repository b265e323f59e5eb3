"""Says in plain words which field of a service.json has a fault, and what is allowed there."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from enum import StrEnum

_WORDS = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
}
"""Plain words for the types of msgspec's errors; other types keep their names, such as null."""
_TYPES = re.compile(r"Expected `([^`]*)`, got `([^`]*)`")
_LENGTH = re.compile(r"Expected `array` of length (\d+), got (\d+)")
_MISSING = re.compile(r"Object missing required field `([^`]*)`")
_NOT_ALLOWED = re.compile(r"Invalid enum value '?(.*?)'?", re.DOTALL)


def plain_fault(error: str, choices: Mapping[str, type[StrEnum]]) -> str:
    """A sentence for msgspec's text ``error``, which begins with the field.  ``choices`` are the allowed values of fields,
    by the last part of their names.

    Example: ``Expected `bool`, got `str` - at `$.x``` becomes ``x: must be true or false, not a text.``
    """
    reason, _, place = error.partition(" - at `$")
    where = place.strip(".`")
    if found := _MISSING.fullmatch(reason):
        return f"{f'{where}.{found[1]}'.lstrip('.')}: is needed."
    return f"{where or 'service.json'}: {_plain(reason, choices.get(where.rpartition('.')[2]))}"


def unknown_field(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown field: the known one that ``name`` resembles, or all that are known."""
    known = list(known)
    near = get_close_matches(name, known, 1)
    return (
        f"is unknown; did you mean {near[0]}?"
        if near
        else f"is unknown; known are {', '.join(known)}."
    )


def not_allowed(value: object, allowed: Iterable[str]) -> str:
    """The end of a sentence about a value that is none of those that are allowed."""
    return f"'{value}' is unknown; it is one of {', '.join(value for value in allowed if value)}."


def _plain(reason: str, allowed: type[StrEnum] | None) -> str:
    if allowed and (found := _NOT_ALLOWED.fullmatch(reason)):
        return not_allowed(found[1], allowed)
    if found := _TYPES.fullmatch(reason):
        needed, given = (
            " or ".join(_WORDS.get(kind, kind) for kind in kinds.split(" | "))
            for kinds in found.groups()
        )
        return f"must be {needed}, not {given}."
    if found := _LENGTH.fullmatch(reason):
        return f"must be a list of {found[1]} values, not of {found[2]}."
    return f"{reason}."
