"""A service is a folder with ``service.json``: what ITK-SNAP shows, and what the dispatcher does."""

from dataclasses import dataclass, field
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from dss_broker.messages import Label
from dss_dispatch.errors import ServiceInvalid
from dss_dispatch.workspace import Role

MAX_DESCRIPTOR_BYTES = 48 * 1024
"""A message holds 64 kB, and the descriptor travels in one."""


class TagType(StrEnum):
    """What kinds of object ITK-SNAP can tag (DistributedSegmentationModel.cxx:724-732)."""

    MAIN = "MainImage"
    OVERLAY = "OverlayImage"
    ANATOMICAL = "AnatomicalImage"
    SEGMENTATION = "SegmentationImage"
    LABEL = "SegmentationLabel"
    LANDMARK = "PointLandmark"
    TIME_POINT = "TimePoint"
    UNKNOWN = "Unknown"


IMAGE_ROLES: dict[TagType, frozenset[str]] = {
    TagType.MAIN: frozenset({Role.MAIN}),
    TagType.OVERLAY: frozenset({Role.OVERLAY}),
    TagType.ANATOMICAL: frozenset({Role.MAIN, Role.OVERLAY}),
    TagType.SEGMENTATION: frozenset({Role.SEGMENTATION}),
}
"""The roles that a layer may have under a tag of that type; the other types tag no image layer."""

# ITK-SNAP's documentation has these; the program takes them for Unknown, which nobody can assign.
_DOCUMENTED_TYPES = {"AnatomicImage": TagType.ANATOMICAL, "Segmentation": TagType.SEGMENTATION}


@dataclass(frozen=True, kw_only=True)
class Tag:
    """Something in the user's workspace that the service asks for by name."""

    name: str
    type: TagType
    required: bool
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class LabelStyle:
    """How a value of the segmentation is called and drawn; red, green, blue are 0..255."""

    value: int
    name: str
    rgb: tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Dispatch:
    """The layer tagged ``tag`` goes to ``bundle``; what comes back is a layer called ``segmentation``.

    ``labels`` go before those of the bundle; ``parameters`` are handed to it.
    """

    tag: str
    bundle: str
    segmentation: str
    labels: tuple[LabelStyle, ...] = ()
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Service:
    """A usable service.  ``descriptor`` is its service.json without ``dispatch``, as clients get it."""

    name: str
    version: str
    shortdesc: str
    longdesc: str
    tags: tuple[Tag, ...]
    dispatch: Dispatch
    url: str = ""
    descriptor: dict[str, Any] = field(default_factory=dict)

    @property
    def target_tag(self) -> Tag:
        """The tag of the layer that goes to the bundle."""
        return next(tag for tag in self.tags if tag.name == self.dispatch.tag)

    def styled(self, labels: tuple[Label, ...]) -> tuple[Label, ...]:
        """The bundle's labels, named and coloured as this service wants."""
        styles = {style.value: style for style in self.dispatch.labels}
        return tuple(_styled(label, styles.get(label.value)) for label in labels)


def _styled(label: Label, style: LabelStyle | None) -> Label:
    if style is None:
        return label
    return Label(value=label.value, name=style.name, rgb=style.rgb, volume_ml=label.volume_ml)


def builtin_services() -> dict[str, Path]:
    """Folders of the services that come with the program, by name."""
    folder = Path(str(resources.files("dss_dispatch"))) / "services"
    return {path.parent.name: path.parent for path in sorted(folder.glob("*/service.json"))}


def load_service(folder: Path) -> Service:
    """Read and check ``folder/service.json``.  Raises ServiceInvalid, naming the field."""
    try:
        raw = msgspec.json.decode((folder / "service.json").read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise ServiceInvalid(f"There is no readable service.json: {error.strerror}.") from error
    except msgspec.MsgspecError as error:
        raise ServiceInvalid(f"service.json is not a JSON object: {error}.") from error
    return service_from(raw)


def service_from(raw: dict[str, Any]) -> Service:
    """The service that a decoded service.json describes.  Raises ServiceInvalid."""
    descriptor = {key: value for key, value in raw.items() if key != "dispatch"}
    if isinstance(descriptor.get("tags"), list):
        descriptor["tags"] = [_with_real_type(tag) for tag in descriptor["tags"]]
    try:
        service = msgspec.convert(raw | {**descriptor, "descriptor": descriptor}, type=Service)
    except msgspec.ValidationError as error:
        raise ServiceInvalid(_sentence(str(error))) from error
    _check(service)
    return service


def _with_real_type(tag: Any) -> Any:
    if isinstance(tag, dict) and tag.get("type") in _DOCUMENTED_TYPES:
        return tag | {"type": _DOCUMENTED_TYPES[tag["type"]].value}
    return tag


def _sentence(error: str) -> str:
    """``Expected `bool`, got `str` - at `$.tags[0].required``` with the field first."""
    what, _, where = error.partition(" - at `$")
    return f"{where.strip('.`') or 'service.json'}: {what}."


def _check(service: Service) -> None:
    for name in ("name", "version", "shortdesc", "longdesc"):
        _require(getattr(service, name).strip() != "", name, "must not be empty")
    size_bytes = len(msgspec.json.encode(service.descriptor))
    _require(size_bytes <= MAX_DESCRIPTOR_BYTES, "service.json", "must be shorter than 48 kB")
    names = [tag.name for tag in service.tags]
    for i, name in enumerate(names):
        legal = name.isprintable() and name != "" and not set(name) & {" ", ","}
        _require(legal, f"tags[{i}].name", "must have no blanks and no commas: ITK-SNAP cuts there")
        _require(names.count(name) == 1, f"tags[{i}].name", f"'{name}' is there more than once")
    _check_dispatch(service)


def _check_dispatch(service: Service) -> None:
    dispatch = service.dispatch
    tag = next((tag for tag in service.tags if tag.name == dispatch.tag), None)
    if tag is None:
        raise ServiceInvalid(f"dispatch.tag: '{dispatch.tag}' is none of the tags.")
    images = {TagType.MAIN, TagType.OVERLAY, TagType.ANATOMICAL}
    _require(tag.type in images, "dispatch.tag", f"'{tag.name}' must be the tag of an image")
    _require(tag.required, "dispatch.tag", f"'{tag.name}' must be a required tag")
    _require(dispatch.bundle != "", "dispatch.bundle", "must not be empty")
    _require(dispatch.segmentation.strip() != "", "dispatch.segmentation", "must not be empty")
    _require(dispatch.segmentation.isprintable(), "dispatch.segmentation", "must be plain text")
    for i, label in enumerate(dispatch.labels):
        where = f"dispatch.labels[{i}]"
        _require(1 <= label.value <= 65535, f"{where}.value", "must be from 1 to 65535")
        _require(
            label.name != "" and label.name.isprintable(), f"{where}.name", "must be plain text"
        )
        _require(all(0 <= c <= 255 for c in label.rgb), f"{where}.rgb", "must be three of 0 to 255")


def _require(condition: object, field_name: str, what: str) -> None:
    if not condition:
        raise ServiceInvalid(f"{field_name}: {what}.")
