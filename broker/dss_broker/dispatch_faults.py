"""Reads and checks the ``dispatch`` section of a service.json."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from dss_broker.descriptor import Tag, TagType
from dss_broker.dispatch_section import (
    BUILT_IN_RULES,
    IMAGE,
    IMAGE_OF,
    IMAGE_TAGS,
    LABELS,
    OUTPUT,
    PUBLISHER,
    Dispatch,
    LabelStyle,
    Modality,
    ProviderKind,
    ServiceRunner,
)
from dss_broker.field_faults import plain_fault, unknown_field

LARGEST_LABEL = 65535
_NO_SECTION = 'dispatch: this section is needed, an object with "provider" and "tag".'
_IMAGE_WORD = re.compile(r"\{image:([^}]*)\}")
_PATH_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_CONTAINER_IMAGE = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d+)?/)?"
    rf"{_PATH_PART}(?:/{_PATH_PART})*(?::\w[\w.-]{{0,127}})?(?:@\w+:[0-9a-fA-F]{{32,}})?",
    re.ASCII,
)
"""A reference to an image (host, path, tag, digest), as podman and docker read it."""
_CHOICES: dict[str, type[StrEnum]] = {"provider": ProviderKind, "modality": Modality}
_URL = re.compile(r"https?://[^\s/?#]+[^\s?#]*")


class DispatchInvalid(ValueError):
    """The ``dispatch`` section has faults: ``faults`` are sentences that begin with the name of the field."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, kw_only=True)
class _Section:
    dispatch: Dispatch


def dispatch_from(
    raw: Mapping[str, object], tags: Sequence[Tag] | None, runner: ServiceRunner
) -> Dispatch:
    """Check and return the ``dispatch`` section of the decoded service.json ``raw``.

    ``tags`` are the tags of its descriptor; None if they could not be read: then what refers to tags is not checked.
    Raises DispatchInvalid with all faults found, for instance that ``runner`` does not run this kind of provider; if a
    field has a wrong type, only with that fault and unknown fields.  What depends on the machine, such as whether a
    file exists, is not checked.
    """
    section = raw.get("dispatch")
    if not isinstance(section, dict):
        raise DispatchInvalid([_NO_SECTION])
    faults = list(_unknown_fields(section))
    if "provider" not in section and "bundle" not in section:
        faults.append(f"dispatch.provider: is needed; it is one of {', '.join(ProviderKind)}.")
        raise DispatchInvalid(faults)
    try:
        found = msgspec.convert({"dispatch": section}, type=_Section).dispatch
    except msgspec.ValidationError as error:
        faults.append(plain_fault(str(error), _CHOICES))
        raise DispatchInvalid(faults) from error
    faults += [*_common_faults(found, tags), *_runner_faults(found, runner)]
    if faults:
        raise DispatchInvalid(faults)
    return found


def _runner_faults(dispatch: Dispatch, runner: ServiceRunner) -> list[str]:
    if dispatch.provider in runner.kinds:
        return list(_KINDS[dispatch.provider](dispatch))
    return [
        f"dispatch.provider: '{dispatch.provider}' is for {runner.other}; {runner.name} serves {', '.join(runner.kinds)}."
    ]


def _unknown_fields(section: Mapping[str, object]) -> Iterable[str]:
    yield from _unknown(section, Dispatch.__dataclass_fields__, "dispatch")
    labels = section.get("labels")
    for i, label in enumerate(labels if isinstance(labels, list) else ()):
        if isinstance(label, Mapping):
            yield from _unknown(label, LabelStyle.__dataclass_fields__, f"dispatch.labels[{i}]")


def _unknown(given: Iterable[str], known: Mapping[str, object], where: str) -> Iterable[str]:
    for name in given:
        if name not in known:
            yield f"{where}.{name}: {unknown_field(name, known)}"


def _common_faults(dispatch: Dispatch, tags: Sequence[Tag] | None) -> list[str]:
    faults = list(_tag_faults(dispatch, tags)) if tags is not None else []
    name = dispatch.segmentation
    if not name.strip():
        faults.append("dispatch.segmentation: must not be empty.")
    elif not name.isprintable():
        faults.append("dispatch.segmentation: must be plain text.")
    for limit, value in (("memory_gb", dispatch.memory_gb), ("time_s", dispatch.time_s)):
        if value is not None and not 0 < value < float("inf"):
            faults.append(f"dispatch.{limit}: is {value:g}; it must be above 0.")
    for i, label in enumerate(dispatch.labels):
        faults += _label_faults(f"dispatch.labels[{i}]", label)
    return faults


def _tag_faults(dispatch: Dispatch, tags: Sequence[Tag]) -> Iterable[str]:
    images = [tag.name for tag in tags if tag.type in IMAGE_TAGS]
    tag = next((tag for tag in tags if tag.name == dispatch.tag), None)
    if tag is None or tag.name not in images:
        have = ", ".join(f"'{name}'" for name in images) or "none"
        yield f"dispatch.tag: '{dispatch.tag}' is no tag of an image; the service has {have}."
    elif not tag.required:
        yield f"dispatch.tag: '{tag.name}' must be a required tag."
    yield from _image_word_faults(
        dispatch, {tag.name: tag.required for tag in tags if tag.name in images}
    )
    if len(set(dispatch.crop_box)) not in {0, 2}:
        yield "dispatch.crop_box: must be two tags."
    for name in dispatch.crop_box:
        yield from _optional_faults(tags, "dispatch.crop_box", name, TagType.LANDMARK)
    if name := dispatch.time_point:
        yield from _optional_faults(tags, "dispatch.time_point", name, TagType.TIME_POINT)
    elif dispatch.provider in PUBLISHER.kinds:
        unused = [tag.name for tag in tags if tag.type is TagType.TIME_POINT]
        yield from (f"dispatch.time_point: must name the tag '{name}'." for name in unused[:1])


def _image_word_faults(dispatch: Dispatch, images: Mapping[str, bool]) -> Iterable[str]:
    """A sentence for each ``{image:TAG}`` in the command whose TAG is not a required tag of an image.

    ``images`` maps the tag of each image to whether it is required.
    """
    for name in _IMAGE_WORD.findall(" ".join(dispatch.command)):
        if not images.get(name, False):
            yield f"dispatch.command: {IMAGE_OF.format(name)} names no required tag of an image."


def _optional_faults(tags: Sequence[Tag], where: str, name: str, kind: TagType) -> Iterable[str]:
    tag = next((tag for tag in tags if tag.name == name), None)
    if tag is None or tag.type is not kind:
        yield f"{where}: '{name}' must be a tag of type {kind}."
    elif tag.required:
        yield f"{where}: '{name}' must not be required."


def _label_faults(where: str, label: LabelStyle) -> Iterable[str]:
    if not 1 <= label.value <= LARGEST_LABEL:
        yield f"{where}.value: {label.value} is not between 1 and {LARGEST_LABEL}."
    if not label.name.strip() or not label.name.isprintable():
        yield f"{where}.name: must be plain text."
    if label.rgb is not None and not all(0 <= part <= 255 for part in label.rgb):
        yield f"{where}.rgb: must be three of 0 to 255."


def _python_faults(dispatch: Dispatch) -> Iterable[str]:
    file, _, function = dispatch.function.partition(":")
    if not file or not function.isidentifier():
        yield (
            f"dispatch.function: '{dispatch.function}' is not FILE:FUNCTION, such as algorithm.py:segment."
        )


def _program_faults(dispatch: Dispatch) -> Iterable[str]:
    text = " ".join(dispatch.command)
    if IMAGE not in text:
        yield f"dispatch.command: lacks {IMAGE}, the file to read."
    if (LABELS in text) == (OUTPUT in text):
        yield (
            f"dispatch.command: needs either {LABELS}, the file to write, or {OUTPUT}, the folder to write into."
        )
    yield from _text_faults(dispatch)


def _container_faults(dispatch: Dispatch) -> Iterable[str]:
    yield from _program_faults(dispatch)
    if not dispatch.image:
        yield "dispatch.image: the name of a container image is needed."
    elif not _CONTAINER_IMAGE.fullmatch(dispatch.image):
        yield (
            f"dispatch.image: '{dispatch.image}' is no name of a container image, such as own:1.0 or "
            "registry.example.org/team/own:1.0, in small letters."
        )


def _bundle_faults(dispatch: Dispatch) -> Iterable[str]:
    if not dispatch.bundle:
        yield "dispatch.bundle: must not be empty."
    if dispatch.modality not in {Modality.CT, Modality.ANY}:
        yield (
            f"dispatch.modality: a bundle is given a CT, not {dispatch.modality}; for other images it is run by a "
            "python function, a program or a container."
        )
    yield from _text_faults(dispatch)


def _server_faults(dispatch: Dispatch) -> Iterable[str]:
    if not dispatch.bundle:
        yield "dispatch.bundle: the name of what the server runs is needed."
    if not _URL.fullmatch(dispatch.url):
        yield f"dispatch.url: '{dispatch.url}' is no address like http://worker:8080."
    yield from _text_faults(dispatch)


def _rules_faults(dispatch: Dispatch) -> Iterable[str]:
    if not dispatch.rules:
        yield f"dispatch.rules: must not be empty; there are {' and '.join(BUILT_IN_RULES)}."
    elif dispatch.rules not in BUILT_IN_RULES:
        known = " or ".join(BUILT_IN_RULES)
        yield f"dispatch.rules: must be {known}; there are no rules '{dispatch.rules}'."
    if dispatch.modality not in {Modality.CT, Modality.ANY}:
        yield f"dispatch.modality: the rules are for a CT, not for {dispatch.modality}."
    yield from _text_faults(dispatch)


def _text_faults(dispatch: Dispatch) -> Iterable[str]:
    for name, value in dispatch.parameters.items():
        if not isinstance(value, str):
            yield f"dispatch.parameters.{name}: must be a text in quotation marks."


_KINDS: dict[ProviderKind, Callable[[Dispatch], Iterable[str]]] = {
    ProviderKind.PYTHON: _python_faults,
    ProviderKind.PROGRAM: _program_faults,
    ProviderKind.CONTAINER: _container_faults,
    ProviderKind.BUNDLE: _bundle_faults,
    ProviderKind.SERVER: _server_faults,
    ProviderKind.RULES: _rules_faults,
}
