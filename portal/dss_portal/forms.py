"""Decodes forms as old clients send them: ITK-SNAP does not URL-encode them (``message=100% done, é``)."""

from collections.abc import Mapping
from math import nan
from urllib.parse import parse_qsl

from dss_portal.refusals import Refused


def decoded(body: bytes) -> dict[str, str]:
    """The fields of a URL-encoded form or query by name; if a name occurs several times, its last value counts.  Raises
    Refused if a field is not UTF-8 or contains NUL.
    """
    try:
        fields = dict(parse_qsl(text(body), keep_blank_values=True, errors="strict"))
    except ValueError as error:
        raise Refused("The form is not UTF-8 text.") from error
    for value in fields.values():
        _refuse_null(value)
    return fields


def text(value: bytes) -> str:
    """``value`` as text.  Raises Refused if it is not UTF-8, or if it contains NUL, which the database cannot store."""
    try:
        found = value.decode()
    except UnicodeDecodeError as error:
        raise Refused("The form is not UTF-8 text.") from error
    _refuse_null(found)
    return found


def of(form: Mapping[str, str], name: str) -> str:
    """The value of the field ``name``.  Raises Refused if it is missing."""
    if name not in form:
        raise Refused(f"Missing '{name}' parameter")
    return form[name]


def fraction(form: Mapping[str, str], name: str) -> float:
    """The field ``name`` as a number from 0 to 1.  Raises Refused if it is missing or is not such a number."""
    text = of(form, name)
    try:
        value = float(text)
    except ValueError:
        value = nan
    if not 0 <= value <= 1:
        raise Refused(f"'{name}' must be a number from 0 to 1, not '{text}'.")
    return value


def _refuse_null(value: str) -> None:
    if "\0" in value:
        raise Refused("The form has a null character, which no text may hold.")
