"""Finds fields of a service.json, outside its ``dispatch`` section, whose names are nearly those of known fields."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches

from dss_broker.descriptor import Descriptor, Tag
from dss_broker.field_faults import unknown_field

LIKENESS = 0.8
"""How like a known name a misspelt one is at least, by difflib from 0 to 1."""

_FIELDS = {each.name for each in fields(Descriptor)} - {"published"} | {"dispatch", "license"}
_TAG_FIELDS = {each.name for each in fields(Tag)}


def misspelt_fields(raw: Mapping[str, object]) -> list[str]:
    """A sentence for each unknown field of the service, or of one of its tags, that resembles a known one.

    Other unknown fields are legal: clients get them as they are, and those of other servers may read them.
    """
    found = list(_misspelt(raw, _FIELDS, ""))
    tags = raw.get("tags")
    for i, tag in enumerate(tags if isinstance(tags, list) else ()):
        if isinstance(tag, Mapping):
            found += _misspelt(tag, _TAG_FIELDS, f"tags[{i}].")
    return found


def _misspelt(given: Iterable[str], known: set[str], where: str) -> Iterable[str]:
    names = sorted(known)
    for name in sorted(set(given) - known):
        if get_close_matches(name.lower(), names, 1, LIKENESS):
            yield f"{where}{name}: {unknown_field(name.lower(), names)}"
