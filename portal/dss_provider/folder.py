"""The folder of a service that ``dss service`` runs: ``service.json``, and the code that its ``dispatch`` section
starts.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dss_broker.descriptor import Descriptor, DescriptorInvalid, descriptor_from
from dss_broker.dispatch_faults import DispatchInvalid, dispatch_from
from dss_broker.dispatch_section import IMAGE_TAGS, PUBLISHER, Dispatch, ProviderKind
from dss_broker.json_objects import json_object
from dss_broker.misspelt_fields import misspelt_fields
from dss_provider.containers import engine, engine_fault, has_image
from dss_provider.errors import ServiceInvalid
from dss_provider.program_faults import program_faults
from dss_provider.source import function_faults


@dataclass(frozen=True, kw_only=True)
class ServiceFolder:
    """The folder of a service, and its parsed ``service.json``, which was checked."""

    path: Path
    descriptor: Descriptor
    dispatch: Dispatch

    @property
    def image_tags(self) -> tuple[str, ...]:
        return tuple(tag.name for tag in self.descriptor.tags if tag.type in IMAGE_TAGS)


def load(path: Path) -> ServiceFolder:
    """Read and check a service's folder.  Raises ServiceInvalid with one line for each fault."""
    raw = _object_in(path / "service.json")
    faults = misspelt_fields(raw)
    descriptor = dispatch = None
    try:
        descriptor = descriptor_from(raw)
    except DescriptorInvalid as error:
        faults.append(str(error))
    try:
        dispatch = dispatch_from(raw, descriptor.tags if descriptor else None, PUBLISHER)
    except DispatchInvalid as error:
        faults += error.faults
    if dispatch:
        faults += _machine_faults(path, dispatch)
    if faults or descriptor is None or dispatch is None:
        raise ServiceInvalid("\n".join(faults))
    return ServiceFolder(path=path, descriptor=descriptor, dispatch=dispatch)


def _object_in(path: Path) -> dict[str, Any]:
    try:
        return json_object(path.read_bytes(), "service.json")
    except OSError as error:
        raise ServiceInvalid(
            f"{path.parent} has no readable service.json ({error.strerror}); `dss service new NAME` makes a folder with one."
        ) from error
    except ValueError as error:
        raise ServiceInvalid(str(error)) from error


def _machine_faults(path: Path, dispatch: Dispatch) -> Iterable[str]:
    """Sentences about programs, files and container images that this machine or the folder lacks."""
    match dispatch.provider:
        case ProviderKind.PYTHON:
            file, _, name = dispatch.function.partition(":")
            if (path / file).is_file():
                faults = function_faults(path / file, name)
                yield from (f"dispatch.function: {fault}" for fault in faults)
            else:
                yield f"dispatch.function: the folder has no file {file}."
        case ProviderKind.PROGRAM:
            yield from program_faults(path, dispatch.command)
        case ProviderKind.CONTAINER:
            if fault := engine_fault():
                yield f"dispatch.provider: {fault}"
            elif not has_image(dispatch.image):
                yield (
                    f"dispatch.image: this machine has no image '{dispatch.image}'; get it with: {engine()} pull "
                    f"{dispatch.image}"
                )
