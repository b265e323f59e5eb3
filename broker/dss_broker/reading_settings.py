"""Reads the settings of a program from its environment."""

import os
import sys
from collections.abc import Iterable
from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from dss_broker.settings import problems
from dss_process.misspelt import misspelt as names_like

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
    names = [f"{_PREFIX}{field.upper()}" for field in kind.model_fields]
    known = {*names, *(f"{name}{_FILE}" for name in names)}
    others = (name for name in environment if name.upper() not in known)
    return names_like(others, names, _LIKENESS)
