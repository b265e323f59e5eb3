"""The service of a dispatcher, read from a folder with ``service.json``: one part of the file is for ITK-SNAP, the
section ``dispatch`` for the dispatcher.
"""

from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from dss_broker.descriptor import Descriptor, DescriptorInvalid, Tag, TagType, descriptor_from
from dss_broker.dispatch_faults import DispatchInvalid, dispatch_from
from dss_broker.dispatch_section import DISPATCHER, Dispatch, LabelStyle, ProviderKind
from dss_broker.json_objects import json_object
from dss_broker.messages import Label
from dss_broker.misspelt_fields import misspelt_fields
from dss_dispatch.errors import ServiceInvalid
from dss_workspace.layers import Role

IMAGE_ROLES: dict[TagType, frozenset[str]] = {
    TagType.MAIN: frozenset({Role.MAIN}),
    TagType.OVERLAY: frozenset({Role.OVERLAY}),
    TagType.ANATOMICAL: frozenset({Role.MAIN, Role.OVERLAY}),
    TagType.SEGMENTATION: frozenset({Role.SEGMENTATION}),
}
"""Roles of the layers that a tag of each type may mark.  Tags of other types mark no image layer."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service whose ``service.json`` was checked: ``descriptor`` is for clients, ``dispatch`` for the dispatcher."""

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
    def server_url(self) -> str:
        """The address of the inference server that service.json names; "" if workers serve the service through a queue."""
        return self.dispatch.url if self.dispatch.provider is ProviderKind.SERVER else ""

    @property
    def target_tag(self) -> Tag:
        """The tag of the layer that is segmented."""
        return next(tag for tag in self.tags if tag.name == self.dispatch.tag)

    def styled(self, labels: tuple[Label, ...]) -> tuple[Label, ...]:
        """``labels`` of the algorithm with the names and colours that service.json gives.  A label without a colour
        there keeps its own; labels that service.json does not name stay unchanged.
        """
        styles = {style.value: style for style in self.dispatch.labels}
        return tuple(_styled(label, styles.get(label.value)) for label in labels)


def _styled(label: Label, style: LabelStyle | None) -> Label:
    if style is None:
        return label
    return replace(label, name=style.name, rgb=style.rgb or label.rgb)


def builtin_services() -> dict[str, Path]:
    """Folders of the services that come with the program, by name."""
    folder = Path(str(resources.files("dss_dispatch"))) / "services"
    return {path.parent.name: path.parent for path in sorted(folder.glob("*/service.json"))}


def load_service(folder: Path, changes: Path | None = None) -> Service:
    """Read and check ``folder/service.json``.  Raises ServiceInvalid, which names the field, or the file or folder that
    cannot be read.

    If the folder ``changes`` has a file NAME.json, named after the service, the site's changes in it are applied
    before: a JSON merge patch (RFC 7396).
    """
    raw = _object_in(folder / "service.json")
    if changes is not None and not changes.is_dir():
        raise ServiceInvalid(f"DSS_SERVICE_CHANGES: there is no folder {changes}.")
    if changes is not None and (patch := _changes_of(raw.get("name"), changes)):
        raw = _merged(raw, _object_in(patch))
    return service_from(raw)


def _changes_of(name: object, folder: Path) -> Path | None:
    """The file in ``folder`` with the site's changes to the service.json of the service ``name``; None if there is no
    such file.
    """
    path = folder / f"{name}.json"
    try:
        return path if path.is_file() else None
    except (OSError, ValueError):
        return None


def _object_in(path: Path) -> dict[str, Any]:
    try:
        return json_object(path.read_bytes(), path.name)
    except OSError as error:
        raise ServiceInvalid(f"There is no readable {path.name}: {error.strerror}.") from error
    except ValueError as error:
        raise ServiceInvalid(str(error)) from error


def _merged(base: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """``base`` changed by ``patch`` as RFC 7396 says: objects are merged, null removes a member, any other value
    replaces it.
    """
    merged = {key: value for key, value in base.items() if patch.get(key, value) is not None}
    for key, value in patch.items():
        if isinstance(value, dict):
            before = base.get(key)
            merged[key] = _merged(before if isinstance(before, dict) else {}, value)
        elif value is not None:
            merged[key] = value
    return merged


def service_from(raw: dict[str, Any]) -> Service:
    """The service that a decoded service.json describes.  Raises ServiceInvalid, which names the field, if it is not
    valid for a dispatcher.
    """
    if misspelt := misspelt_fields(raw):
        raise ServiceInvalid(" ".join(misspelt))
    try:
        descriptor = descriptor_from(raw)
        dispatch = dispatch_from(raw, descriptor.tags, DISPATCHER)
    except (DescriptorInvalid, DispatchInvalid) as error:
        raise ServiceInvalid(str(error)) from error
    return Service(descriptor=descriptor, dispatch=dispatch)
