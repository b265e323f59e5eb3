"""Reads the lists of transforms in a MONAI bundle's configuration.  Loads no torch.

A list may be an entry of its own (``"transforms": "@steps"``, ``"$@steps + @more"``), and a ``Compose`` may stand in
the list of another.  Lists keep their nesting, because other entries refer to a transform by its number.
"""

import copy
import re
from collections.abc import Iterator
from typing import Any, TypeAlias

Config: TypeAlias = dict[str, Any]
Step: TypeAlias = dict[str, Any]

PARTS = ("preprocessing", "postprocessing")
_ENTRY = re.compile(r"\$?\s*@(\w+)\s*")
_SUM = re.compile(r"\$?\s*@\w+(\s*\+\s*@\w+)*\s*")
_FILES = ("LoadImage", "SaveImage")
_CHOOSING = ("OneOf", "RandomOrder", "SomeOf")
_LIST_OPTIONS = ("map_items", "unpack_items")


def kind_of(step: object) -> str:
    """The class name of a transform, without its module; "" if it has none."""
    target = step.get("_target_", "") if isinstance(step, dict) else ""
    return str(target).rpartition(".")[2]


def write_out_lists(config: Config) -> None:
    """Replace references to transforms in pre- and postprocessing by copies of the transforms, in place.  What cannot
    be replaced stays; ``faults_of`` names it.
    """
    for part in PARTS:
        _move_entry(config, part)
        _write_out(config.get(part), config)


def disable_file_transforms(part: object) -> None:
    """Disable the transforms of ``part`` that read or write files, in place.  They stay in the list, so that other
    transforms keep their numbers; of their options they keep ``keys`` and ``resample``.
    """
    steps = _list_of(part)
    for number, step in enumerate(steps):
        disable_file_transforms(step)
        if kind_of(step).startswith(_FILES):
            kept = {name: step[name] for name in ("keys", "resample") if name in step}
            steps[number] = {"_target_": step["_target_"], "_disabled_": True} | kept


def steps_of(part: object) -> Iterator[Step]:
    """The transforms of ``part`` that are not disabled, with those of a nested ``Compose``."""
    for step in _list_of(part):
        if not isinstance(step, dict) or is_disabled(step):
            continue
        if kind_of(step) == "Compose":
            yield from steps_of(step)
        else:
            yield step


def saving_steps(part: object) -> Iterator[Step]:
    """The transforms of ``part`` that write images, which ``disable_file_transforms`` has disabled, with those of a
    nested ``Compose`` that is not disabled.
    """
    for step in _list_of(part):
        if kind_of(step) == "Compose" and not is_disabled(step):
            yield from saving_steps(step)
        elif kind_of(step).startswith("SaveImage"):
            yield step


def is_disabled(step: Step) -> bool:
    """True if the transform is marked ``_disabled_`` by true or the text "true", so that MONAI leaves it out."""
    value = step.get("_disabled_", False)
    return value.strip().lower() == "true" if isinstance(value, str) else bool(value)


def faults_of(name: str, part: object) -> Iterator[str]:
    """A sentence for each reason for which the transforms of ``part``, the entry ``name`` of the configuration, cannot
    be used: they cannot be listed without running the bundle's code, or are chosen at random.
    """
    steps = part.get("transforms") if isinstance(part, dict) else None
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        yield (
            f"Its '{name}' has no list of transforms: write them as a list, or as '@NAME' if the entry NAME is that list."
        )
        return
    for number, step in enumerate(steps):
        yield from _faults_of_step(f"{name}#transforms#{number}", step)


def _faults_of_step(where: str, step: Step) -> Iterator[str]:
    kind = kind_of(step)
    read_here = where.startswith("postprocessing") or kind == "Compose"
    if read_here and str(step.get("_disabled_", "")).startswith(("$", "@")):
        yield f"Its '{where}' is disabled by an expression: write true or false for its '_disabled_'."
    if is_disabled(step):
        return
    if kind in _CHOOSING:
        yield (
            f"Its '{where}' is {kind}, which chooses transforms at random, so that a label would be a matter of chance: "
            "write the transforms that are meant."
        )
    if kind == "Compose":
        unread = [option for option in _LIST_OPTIONS if option in step]
        if unread:
            yield f"Its '{where}' is a Compose with '{unread[0]}', which is not read here: leave '{unread[0]}' out."
        yield from faults_of(where, step)


def _list_of(part: object) -> list[Any]:
    found = part.get("transforms") if isinstance(part, dict) else None
    return found if isinstance(found, list) else []


def _move_entry(config: Config, part: str) -> None:
    """If the entry ``part`` is a reference to another entry, and that is an object, exchange the two, so that both
    names mean the same transforms.
    """
    text = config.get(part)
    match = _ENTRY.fullmatch(text) if isinstance(text, str) else None
    if match and isinstance(config.get(match[1]), dict):
        config[part], config[match[1]] = config[match[1]], f"@{part}"


def _write_out(part: object, config: Config) -> None:
    if not isinstance(part, dict):
        return
    inner_steps = part.get("transforms")
    if isinstance(inner_steps, str):
        part["transforms"] = inner_steps = _sum_of_lists(inner_steps, config)
    if isinstance(inner_steps, list):
        inner_steps[:] = [_written_out(step, config) for step in inner_steps]
        for step in inner_steps:
            if kind_of(step) == "Compose":
                _write_out(step, config)


def _sum_of_lists(text: str, config: Config) -> object:
    if not _SUM.fullmatch(text):
        return text
    lists = [config.get(name) for name in re.findall(r"@(\w+)", text)]
    found = [step for part in lists if isinstance(part, list) for step in part]
    return copy.deepcopy(found) if all(isinstance(part, list) for part in lists) else text


def _written_out(step: object, config: Config) -> object:
    match = _ENTRY.fullmatch(step) if isinstance(step, str) else None
    found = config.get(match[1]) if match else None
    return copy.deepcopy(found) if isinstance(found, dict) else step
