"""A browser's statement of the files that it will upload for a ticket, and of the image that each file belongs to.
Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from dss_broker.descriptor import DescriptorInvalid, Tag, TagType, descriptor_from
from dss_broker.messages import NeededTag
from dss_portal.datastore.names import flat_name
from dss_portal.models import Service
from dss_portal.refusals import Refused

MOST_FILES = 50
MOST_SERIES_CHARACTERS = 64
IMAGE_TYPES = frozenset(
    {
        TagType.MAIN,
        TagType.ANATOMICAL,
        TagType.OVERLAY,
        TagType.SEGMENTATION,
    }
)
"""Types of tags that an image satisfies; others need a workspace from ITK-SNAP."""
OF_MAIN_IMAGE = frozenset({TagType.MAIN, TagType.ANATOMICAL})
"""Types of tags that the main image gets without a choice of the user."""


@dataclass(frozen=True, kw_only=True)
class ExpectedFile:
    """A file that is to be uploaded.  ``tag`` is the tag that it gets; "" is the main image."""

    name: str
    size_bytes: int
    tag: str = ""


@dataclass(frozen=True, kw_only=True)
class Request:
    """The files that a browser will upload for a ticket.  They are images to be read; ``series`` names a DICOM series,
    "" chooses one by rule, ``each`` makes a ticket of each, ``ask`` lets the user choose.

    With ``as_it_is``, the files are a workspace and its files, which are not read.
    """

    files: tuple[ExpectedFile, ...]
    series: str = ""
    as_it_is: bool = False


def decoded(text: str) -> Request:
    """Decode a request from JSON.  Raises Refused if it is malformed, has no files or more than MOST_FILES, has a file
    name twice or with folders, a negative size, or more than MOST_SERIES_CHARACTERS in ``series``.
    """
    try:
        found = msgspec.json.decode(text, type=Request)
    except msgspec.DecodeError as error:
        raise Refused(f"'request' must be JSON that says which files are sent: {error}.") from error
    if not 0 < len(found.files) <= MOST_FILES:
        raise Refused(f"A ticket needs 1 to {MOST_FILES} files, not {len(found.files)}.")
    names = [flat_name(file.name) for file in found.files]
    if len(set(names)) < len(names) or names != [file.name for file in found.files]:
        raise Refused("Each file needs a name of its own, without folders.")
    if any(file.size_bytes < 0 for file in found.files):
        raise Refused("The size of a file is a number of bytes.")
    if len(found.series) > MOST_SERIES_CHARACTERS:
        raise Refused(f"'series' may have {MOST_SERIES_CHARACTERS} characters at most.")
    return found


def encoded(request: Request) -> str:
    return msgspec.json.encode(request).decode()


def require_fit(request: Request, service: Service) -> None:
    """Raises Refused unless the files have exactly one main image and satisfy the tags of the service.  A workspace
    that is sent as it is, is not checked.
    """
    if request.as_it_is:
        return
    if [file.tag for file in request.files].count("") != 1:
        raise Refused("A ticket needs exactly one main image.")
    _require_tags([file.tag for file in request.files if file.tag], service)


def _require_tags(given: Sequence[str], service: Service) -> None:
    tags = _tags(service)
    images = {tag.name for tag in tags if tag.type in IMAGE_TYPES}
    for name in given:
        if name not in images or list(given).count(name) > 1:
            raise Refused(f"{service.name} takes no image, or only one, for '{name}'.")
    for tag in tags:
        if tag.required and tag.type not in OF_MAIN_IMAGE and tag.name not in given:
            way = (
                "choose a file for it"
                if tag.type in IMAGE_TYPES
                else "send a workspace from ITK-SNAP"
            )
            raise Refused(f"{service.name} needs '{tag.name}' besides an image; {way}.")


def further_tags(service: Service) -> list[dict[str, object]]:
    """The tags of the service that an image other than the main image may get, for the page: name, hint, and whether
    required.
    """
    return [
        {"name": tag.name, "hint": tag.hint, "required": tag.required}
        for tag in _tags(service)
        if tag.type in IMAGE_TYPES - OF_MAIN_IMAGE
    ]


def unfit(service: Service) -> str:
    """A sentence for users if images alone cannot satisfy the service's tags; "" if they can."""
    tags = _tags(service)
    others = [tag.name for tag in tags if tag.required and tag.type not in IMAGE_TYPES]
    if not others:
        return ""
    return (
        f"{service.name} needs {', '.join(others)} besides images; send a workspace from ITK-SNAP."
    )


def needed_tags(service: Service) -> tuple[NeededTag, ...]:
    """The tags of the service, for the program that writes the workspace."""
    return tuple(
        NeededTag(name=tag.name, type=tag.type.value, required=tag.required)
        for tag in _tags(service)
    )


def _tags(service: Service) -> tuple[Tag, ...]:
    """The service's tags; none if its descriptor is invalid, which is possible for a service that was added long ago."""
    try:
        return descriptor_from(service.descriptor).tags
    except DescriptorInvalid:
        return ()
