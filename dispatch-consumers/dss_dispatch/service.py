"""Services: folders with a ``service.json`` that says what ITK-SNAP shows and what the dispatcher does."""

from dataclasses import dataclass, field
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from dss_broker import label_colours
from dss_broker.descriptor import (
    Descriptor,
    DescriptorInvalid,
    Tag,
    TagType,
    descriptor_from,
    field_before_reason,
)
from dss_broker.messages import Label
from dss_dispatch.errors import ServiceInvalid
from dss_workspace.layers import Role

IMAGE_ROLES: dict[TagType, frozenset[str]] = {
    TagType.MAIN: frozenset({Role.MAIN}),
    TagType.OVERLAY: frozenset({Role.OVERLAY}),
    TagType.ANATOMICAL: frozenset({Role.MAIN, Role.OVERLAY}),
    TagType.SEGMENTATION: frozenset({Role.SEGMENTATION}),
}
"""Roles of the layers that a tag of each type may mark; tags of other types mark no image layer."""


@dataclass(frozen=True, kw_only=True)
class LabelStyle:
    """Name and colour of a value of the segmentation; red, green, blue are 0..255."""

    value: int
    name: str
    rgb: tuple[int, int, int]


class Provider(StrEnum):
    """Kind of algorithm that makes the segmentations of a service."""

    RULES = "rules"
    BUNDLE = "bundle"


BUILT_IN_RULES = ("lung-segmentation", "nodule-detection")
"""The rules that come with the workers; a test compares them with the workers' list."""


@dataclass(frozen=True, kw_only=True)
class Dispatch:
    """What the dispatcher does: segment the layer tagged ``tag``, add the result as a layer named ``segmentation``.

    ``provider`` chooses between the algorithms ``rules`` and ``bundle``; the algorithm gets ``parameters``, and
    ``labels`` override its names and colours.  ``crop_box`` are the tags of the landmarks at two corners of the part
    to segment; ``time_point`` is the tag of the time point to segment.
    """

    tag: str
    segmentation: str
    provider: Provider = Provider.BUNDLE
    rules: str = ""
    bundle: str = ""
    labels: tuple[LabelStyle, ...] = ()
    parameters: dict[str, str] = field(default_factory=dict)
    crop_box: tuple[str, ...] = ()
    time_point: str = ""

    @property
    def algorithm(self) -> str:
        """Name of the rules or the bundle; ``topology.inference`` derives the queue from it."""
        return self.rules if self.provider is Provider.RULES else self.bundle

    @property
    def colour_parameters(self) -> dict[str, str]:
        """The parameter ``label_colours``, which the algorithm needs for its picture; {} if there are no ``labels``."""
        colours = {label.value: label.rgb for label in self.labels}
        return {label_colours.PARAMETER: label_colours.written(colours)} if colours else {}


@dataclass(frozen=True, kw_only=True)
class Service:
    """A usable service: ``descriptor`` is for clients, ``dispatch`` for the dispatcher."""

    descriptor: Descriptor
    dispatch: Dispatch

    @property
    def name(self) -> str:
        return self.descriptor.name

    @property
    def version(self) -> str:
        return self.descriptor.version

    @property
    def tags(self) -> tuple[Tag, ...]:
        return self.descriptor.tags

    @property
    def target_tag(self) -> Tag:
        """The tag of the layer that goes to the bundle."""
        return next(tag for tag in self.tags if tag.name == self.dispatch.tag)

    def styled(self, labels: tuple[Label, ...]) -> tuple[Label, ...]:
        """``labels`` of the algorithm with the service's names and colours; labels without a style stay as they are."""
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


def load_service(folder: Path, changes: Path | None = None) -> Service:
    """Read and check ``folder/service.json``.  Raises ServiceInvalid, naming the field.

    A site's changes are in ``changes/NAME.json``, a JSON merge patch (RFC 7396).
    """
    raw = _object_in(folder / "service.json")
    if changes is not None and not changes.is_dir():
        raise ServiceInvalid(f"DSS_SERVICE_CHANGES: there is no folder {changes}.")
    if changes is not None and (patch := _changes_of(raw.get("name"), changes)):
        raw = _merged(raw, _object_in(patch))
    return service_from(raw)


def _changes_of(name: object, folder: Path) -> Path | None:
    """The file of changes; None if there is none."""
    path = folder / f"{name}.json"
    try:
        return path if path.is_file() else None
    except (OSError, ValueError):
        return None


def _object_in(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise ServiceInvalid(f"There is no readable {path.name}: {error.strerror}.") from error
    except msgspec.MsgspecError as error:
        raise ServiceInvalid(f"{path.name} is not a JSON object: {error}.") from error


def _merged(base: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """RFC 7396: an object is merged, null removes, any other value replaces."""
    merged = {key: value for key, value in base.items() if patch.get(key, value) is not None}
    for key, value in patch.items():
        if isinstance(value, dict):
            before = base.get(key)
            merged[key] = _merged(before if isinstance(before, dict) else {}, value)
        elif value is not None:
            merged[key] = value
    return merged


def service_from(raw: dict[str, Any]) -> Service:
    """The service that a decoded service.json describes.  Raises ServiceInvalid."""
    try:
        descriptor = descriptor_from(raw)
        dispatch = msgspec.convert({"dispatch": raw.get("dispatch")}, type=_Ours).dispatch
    except DescriptorInvalid as error:
        raise ServiceInvalid(str(error)) from error
    except msgspec.ValidationError as error:
        raise ServiceInvalid(field_before_reason(str(error))) from error
    service = Service(descriptor=descriptor, dispatch=dispatch)
    _check_dispatch(service)
    return service


@dataclass(frozen=True, kw_only=True)
class _Ours:
    """The part of service.json that is not published."""

    dispatch: Dispatch


def _check_dispatch(service: Service) -> None:
    dispatch = service.dispatch
    tag = next((tag for tag in service.tags if tag.name == dispatch.tag), None)
    if tag is None:
        raise ServiceInvalid(f"dispatch.tag: '{dispatch.tag}' is none of the tags.")
    images = {TagType.MAIN, TagType.OVERLAY, TagType.ANATOMICAL}
    _require(tag.type in images, "dispatch.tag", f"'{tag.name}' must be the tag of an image")
    _require(tag.required, "dispatch.tag", f"'{tag.name}' must be a required tag")
    _require(dispatch.algorithm != "", f"dispatch.{dispatch.provider}", "must not be empty")
    if dispatch.provider is Provider.RULES:
        known = " or ".join(BUILT_IN_RULES)
        named = f"must be {known}; there are no rules '{dispatch.rules}'"
        _require(dispatch.rules in BUILT_IN_RULES, "dispatch.rules", named)
    _require(dispatch.segmentation.strip() != "", "dispatch.segmentation", "must not be empty")
    _require(dispatch.segmentation.isprintable(), "dispatch.segmentation", "must be plain text")
    _require(len(set(dispatch.crop_box)) in (0, 2), "dispatch.crop_box", "must be two tags")
    for name in dispatch.crop_box:
        _require_optional(service, "dispatch.crop_box", name, TagType.LANDMARK)
    if dispatch.time_point:
        _require_optional(service, "dispatch.time_point", dispatch.time_point, TagType.TIME_POINT)
    for i, label in enumerate(dispatch.labels):
        where = f"dispatch.labels[{i}]"
        _require(1 <= label.value <= 65535, f"{where}.value", "must be from 1 to 65535")
        _require(
            label.name != "" and label.name.isprintable(), f"{where}.name", "must be plain text"
        )
        _require(all(0 <= c <= 255 for c in label.rgb), f"{where}.rgb", "must be three of 0 to 255")


def _require_optional(service: Service, where: str, name: str, kind: TagType) -> None:
    tag = next((tag for tag in service.tags if tag.name == name), None)
    _require(tag is not None and tag.type is kind, where, f"'{name}' must be a tag of type {kind}")
    _require(tag is not None and not tag.required, where, f"'{name}' must not be required")


def _require(condition: object, field_name: str, what: str) -> None:
    if not condition:
        raise ServiceInvalid(f"{field_name}: {what}.")
