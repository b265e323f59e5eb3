"""A service's description for ITK-SNAP: the part of ``service.json`` that is published."""

import re
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any
from unicodedata import category

import msgspec

from dss_broker.field_faults import plain_fault, unknown_field

MAX_DESCRIPTOR_BYTES = 48 * 1024
"""Limit for the JSON of a descriptor, because it is sent in a message, which may have 64 kB."""


MAX_NAME_CHARACTERS = 255
"""Limit for the name and the version of a service; it is longer than any real name, in any script."""

MAX_DEADLINE_S = 10 * 365 * 24 * 3600
"""Limit for a deadline: ten years.  With much more, the subtraction from today's ``datetime`` would overflow."""

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""The character NUL as JSON writes it.  PostgreSQL cannot store it."""

_NO_TEXT = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode categories that a name must not have: control characters, unpaired surrogates, and line and paragraph
separators, which break lists and logs.
"""


class DescriptorInvalid(ValueError):
    """A service.json has a fault.  The text is a sentence that begins with the name of the field."""


class TagType(StrEnum):
    """Kinds of objects that ITK-SNAP can tag (DistributedSegmentationModel.cxx:724-732)."""

    MAIN = "MainImage"
    OVERLAY = "OverlayImage"
    ANATOMICAL = "AnatomicalImage"
    SEGMENTATION = "SegmentationImage"
    LABEL = "SegmentationLabel"
    LANDMARK = "PointLandmark"
    TIME_POINT = "TimePoint"
    UNKNOWN = "Unknown"


# ITK-SNAP's documentation names these; the program reads them as Unknown, which cannot be assigned.
_DOCUMENTED_TYPES = {"AnatomicImage": TagType.ANATOMICAL, "Segmentation": TagType.SEGMENTATION}


class Report(StrEnum):
    """Format of the file with all findings that the portal attaches to a ticket's log; NONE: no such file."""

    NONE = ""
    HTML = "html"


_CHOICES: dict[str, type[StrEnum]] = {"type": TagType, "report": Report}


@dataclass(frozen=True, kw_only=True)
class Tag:
    """A name by which the service finds an object of the user's workspace, such as a layer or a landmark.

    ``type`` is the kind of the object; ``required``: a ticket must have it; ``hint`` is shown to the user.
    """

    name: str
    type: TagType
    required: bool = False
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class Deadlines:
    """Longest times for a ticket's stages, in seconds; None leaves the limit to the portal.

    ``upload_s``: from creation to submission.  ``queue_s``: from submission until a provider claims the ticket.
    ``claim_s``: without an event from the provider that has claimed it.  ``run_s``: one attempt.
    """

    upload_s: float | None = None
    queue_s: float | None = None
    claim_s: float | None = None
    run_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """A checked descriptor.  ``published`` is the JSON object for clients, without ``dispatch``, but including fields
    that are unknown here.

    The page of services shows the texts ``result`` (what a result contains), ``accuracy`` (how exact its
    segmentations are, and on which data that was measured), ``licence`` and ``citation``.
    """

    name: str
    version: str
    shortdesc: str
    longdesc: str = ""
    url: str = ""
    result: str = ""
    accuracy: str = ""
    licence: str = ""
    citation: str = ""
    report: Report = Report.NONE
    tags: tuple[Tag, ...] = ()
    deadlines: Deadlines = Deadlines()
    published: dict[str, Any] = field(default_factory=dict)


def descriptor_from(raw: object) -> Descriptor:
    """Check a decoded service.json and return its descriptor, without the ``dispatch`` section, which is not published.

    Raises DescriptorInvalid.
    """
    if not isinstance(raw, dict):
        raise DescriptorInvalid("service.json: must be a JSON object.")
    published = {key: value for key, value in raw.items() if key != "dispatch"}
    if isinstance(published.get("tags"), list):
        published["tags"] = [_with_real_type(tag) for tag in published["tags"]]
    try:
        found = msgspec.convert({**published, "published": published}, type=Descriptor)
    except msgspec.ValidationError as error:
        raise DescriptorInvalid(plain_fault(str(error), _CHOICES)) from error
    _check(found)
    return found


def _with_real_type(tag: object) -> object:
    if isinstance(tag, dict) and tag.get("type") in _DOCUMENTED_TYPES:
        return tag | {"type": _DOCUMENTED_TYPES[tag["type"]].value}
    return tag


def _check(found: Descriptor) -> None:
    for name in ("name", "version", "shortdesc"):
        _require(getattr(found, name).strip() != "", name, "must not be empty")
    for name in ("name", "version"):
        _check_name(getattr(found, name), name)
    encoded = msgspec.json.encode(found.published)
    fits = len(encoded) <= MAX_DESCRIPTOR_BYTES
    _require(fits, "service.json", "must be shorter than 48 kB")
    _require(not _NUL.search(encoded), "service.json", "must have no NUL characters")
    known = asdict(found.deadlines)
    for name in set(found.published.get("deadlines", {})) - set(known):
        raise DescriptorInvalid(f"deadlines.{name}: {unknown_field(name, known)}")
    for name, seconds in known.items():
        legal = seconds is None or 0 < seconds <= MAX_DEADLINE_S
        _require(
            legal, f"deadlines.{name}", "must be greater than 0 and at most 10 years, in seconds"
        )
    names = [tag.name for tag in found.tags]
    for i, name in enumerate(names):
        legal = name.isprintable() and name != "" and not set(name) & {" ", ","}
        _require(legal, f"tags[{i}].name", "must have no blanks and no commas: ITK-SNAP cuts there")
        _require(names.count(name) == 1, f"tags[{i}].name", f"'{name}' is there more than once")


def _check_name(text: str, field_name: str) -> None:
    """Raises DescriptorInvalid unless ``text`` can be a name in lists, logs and routing keys."""
    unprintable = next((c for c in text if category(c) in _NO_TEXT), None)
    _require(
        unprintable is None, field_name, f"must have no control characters, but has {unprintable!a}"
    )
    _require(text == text.strip(), field_name, "must not begin or end with a blank")
    wrong = f"has {len(text)} characters, {MAX_NAME_CHARACTERS} at most"
    _require(len(text) <= MAX_NAME_CHARACTERS, field_name, wrong)


def _require(condition: object, field_name: str, what: str) -> None:
    if not condition:
        raise DescriptorInvalid(f"{field_name}: {what}.")
