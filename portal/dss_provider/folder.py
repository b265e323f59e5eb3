"""The folder of a service: ``service.json`` with its ``dispatch`` section, and what that section starts."""

import shutil
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from dss_broker.descriptor import (
    Descriptor,
    DescriptorInvalid,
    TagType,
    descriptor_from,
    field_before_reason,
)
from dss_provider.errors import ServiceInvalid

IMAGE = "{image}"
LABELS = "{labels}"
IMAGE_TAGS = (TagType.MAIN, TagType.OVERLAY, TagType.ANATOMICAL)


class Kind(StrEnum):
    """What does the work."""

    PYTHON = "python"
    PROGRAM = "program"
    CONTAINER = "container"


class Modality(StrEnum):
    """What the image's values mean; without CT nobody asks for Hounsfield units."""

    CT = "CT"
    MR = "MR"
    PT = "PT"
    ANY = "any"


@dataclass(frozen=True, kw_only=True)
class Style:
    """A label's name and colour (0 to 255) for programs, which return numbers alone."""

    value: int
    name: str
    rgb: tuple[int, int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Dispatch:
    """``function`` is FILE:FUNCTION of the folder; ``command`` the words of a program, or of what a container runs.

    ``tag`` names the image that results lie in the grid of.  ``memory_gb`` and ``time_s`` are limits of one ticket.
    """

    provider: Kind
    tag: str
    segmentation: str = "Segmentation"
    modality: Modality = Modality.ANY
    function: str = "algorithm.py:segment"
    command: tuple[str, ...] = ()
    image: str = ""
    network: bool = False
    gpu: bool = False
    labels: tuple[Style, ...] = ()
    memory_gb: float | None = None
    time_s: float | None = None
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A service that can be tested and published."""

    path: Path
    descriptor: Descriptor
    dispatch: Dispatch

    @property
    def image_tags(self) -> tuple[str, ...]:
        return tuple(tag.name for tag in self.descriptor.tags if tag.type in IMAGE_TAGS)


@dataclass(frozen=True, kw_only=True)
class _Ours:
    dispatch: Dispatch


def load(path: Path) -> Folder:
    """Raises ServiceInvalid with one line for each fault that was found."""
    raw = _object_in(path / "service.json")
    faults: list[str] = []
    descriptor = dispatch = None
    try:
        descriptor = descriptor_from(raw)
    except DescriptorInvalid as error:
        faults.append(str(error))
    try:
        dispatch = msgspec.convert({"dispatch": raw.get("dispatch")}, type=_Ours).dispatch
    except msgspec.ValidationError as error:
        faults.append(_with_choices(field_before_reason(str(error)), raw))
    if isinstance(raw.get("dispatch"), dict):
        faults += _unknown_fields(raw["dispatch"])
    if descriptor and dispatch:
        faults += _faults(path, descriptor, dispatch)
    if faults or descriptor is None or dispatch is None:
        raise ServiceInvalid("\n".join(faults))
    return Folder(path=path, descriptor=descriptor, dispatch=dispatch)


def _object_in(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise ServiceInvalid(
            f"{path.parent} has no readable service.json ({error.strerror}); `dss service new NAME` makes a folder with one."
        ) from error
    except msgspec.MsgspecError as error:
        raise ServiceInvalid(f"service.json is not a JSON object: {error}.") from error


def _with_choices(fault: str, raw: dict[str, Any]) -> str:
    """The values that a field may have, which msgspec does not list."""
    given = raw.get("dispatch")
    if not isinstance(given, dict):
        return 'dispatch: this section is needed, with at least "provider" and "tag".'
    choices = {"dispatch.provider": Kind, "dispatch.modality": Modality}
    name = fault.partition(":")[0]
    if name not in choices:
        return fault
    found = given.get(name.partition(".")[2])
    known = ", ".join(choices[name])
    if name == "dispatch.provider" and found in {"rules", "bundle"}:
        return f"{name}: '{found}' is for dispatchers beside the broker; to publish from here it is one of {known}."
    return f"{name}: '{found}' is unknown; it is one of {known}."


def _unknown_fields(given: dict[str, Any]) -> list[str]:
    known = Dispatch.__dataclass_fields__
    return [
        f"dispatch.{name}: is unknown; known are {', '.join(known)}."
        for name in given
        if name not in known
    ]


def _faults(path: Path, descriptor: Descriptor, dispatch: Dispatch) -> list[str]:
    tags = [tag.name for tag in descriptor.tags if tag.type in IMAGE_TAGS]
    faults = []
    if dispatch.tag not in tags:
        have = f"'{', '.join(tags)}'" if tags else "none"
        faults.append(
            f"dispatch.tag: '{dispatch.tag}' is no tag of an image; the service has {have}."
        )
    for name in ("memory_gb", "time_s"):
        limit = getattr(dispatch, name)
        if limit is not None and limit <= 0:
            faults.append(f"dispatch.{name}: is {limit:g}; it must be above 0.")
    faults += [
        f"dispatch.labels: the value {style.value} is not between 1 and 65535."
        for style in dispatch.labels
        if not 1 <= style.value <= 65535
    ]
    return faults + _WORK[dispatch.provider](path, dispatch)


def _python_faults(path: Path, dispatch: Dispatch) -> list[str]:
    file, _, function = dispatch.function.partition(":")
    if not function.isidentifier():
        return [
            f"dispatch.function: '{dispatch.function}' is not FILE:FUNCTION, such as algorithm.py:segment."
        ]
    if not (path / file).is_file():
        return [f"dispatch.function: the folder has no file {file}."]
    return []


def _program_faults(path: Path, dispatch: Dispatch) -> list[str]:
    faults = _command_faults(dispatch)
    program = dispatch.command[0] if dispatch.command else ""
    if program and not shutil.which(program, path=None) and not (path / program).is_file():
        faults.append(f"dispatch.command: this machine has no program '{program}'.")
    return faults


def _container_faults(_: Path, dispatch: Dispatch) -> list[str]:
    faults = _command_faults(dispatch)
    if not dispatch.image:
        faults.append("dispatch.image: the name of a container image is needed.")
    return faults


def _command_faults(dispatch: Dispatch) -> list[str]:
    text = " ".join(dispatch.command)
    return [
        f"dispatch.command: lacks {word}, the {what}."
        for word, what in ((IMAGE, "file to read"), (LABELS, "file to write"))
        if word not in text
    ]


_WORK = {
    Kind.PYTHON: _python_faults,
    Kind.PROGRAM: _program_faults,
    Kind.CONTAINER: _container_faults,
}
