"""Reads the settings of a program from its environment."""

import os
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from dss_broker.settings import problems

S = TypeVar("S", bound=BaseSettings)

_PREFIX, _FILE = "DSS_", "_FILE"
_LIKENESS = 0.88
"""Least likeness (by difflib) of a misspelt name and the right one; real names of two programs are less alike."""


def read_settings(kind: type[S]) -> S:
    """Read the settings of class ``kind`` from the environment.  Prints a sentence for each setting that is missing or
    wrong and then exits with status 2.  A variable that seems to be a misspelt setting is warned of.
    """
    for sentence in misspelt(os.environ, kind):
        sys.stderr.write(f"{sentence}\n")
    try:
        return kind()
    except ValidationError as error:
        sys.stderr.write("\n".join([*problems(error), ""]))
        raise SystemExit(2) from error


def misspelt(environment: Iterable[str], kind: type[BaseSettings]) -> list[str]:
    """A sentence for each name in ``environment`` that is no setting of ``kind`` but looks like one.  Other unknown names
    are left alone: the programs of a site may share one file of settings.
    """
    names = [field.upper() for field in kind.model_fields]
    found = []
    for given in sorted(environment):
        name = given.upper().removeprefix(_PREFIX)
        is_known = name in names or name.removesuffix(_FILE) in names
        if is_known or not given.upper().startswith(_PREFIX):
            continue
        found += [
            f"{given[:80]} is no setting and has no effect; did you mean {_PREFIX}{meant}?"
            for meant in get_close_matches(name, names, 1, _LIKENESS)
        ]
    return found
