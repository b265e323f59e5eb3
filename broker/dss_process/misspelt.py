"""Finds environment variables whose names are nearly those of settings."""

from collections.abc import Iterable
from difflib import get_close_matches

_PREFIX = "DSS_"


def misspelt(given: Iterable[str], known: Iterable[str], likeness: float) -> list[str]:
    """A sentence for each name in ``given`` that is not in ``known`` but resembles one of these by at least ``likeness``
    (0 to 1, by difflib, without the prefix).  Names that do not begin with DSS_ are left out; ``known`` are in capitals.
    """
    names = [name.removeprefix(_PREFIX) for name in known]
    found = []
    for variable in sorted(given):
        name = variable.upper().removeprefix(_PREFIX)
        if f"{_PREFIX}{name}" != variable.upper() or variable.removeprefix(_PREFIX) in names:
            continue
        found += [
            f"{variable[:80]} is no setting and has no effect; did you mean {_PREFIX}{meant}?"
            for meant in get_close_matches(name, names, 1, likeness)
        ]
    return found
