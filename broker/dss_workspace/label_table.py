"""The label table of a workspace: values, names and colours of the labels.

Format: ColorLabelTable.cxx of ITK-SNAP.  The table belongs to the main image and applies to all segmentations of the
workspace, so our labels share it with the user's.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Protocol

from dss_workspace.errors import WorkspaceInvalid
from dss_workspace.layers import main_folder
from dss_workspace.registry import Folder

MAX_VALUE = 65535
_TABLE = "ProjectMetaData.IRIS.LabelTable"
_ELEMENT_KEY = re.compile(r"Element\[\d+\]")


class Label(Protocol):
    """A value of a segmentation with its name and its colour (red, green, blue, 0..255)."""

    @property
    def value(self) -> int: ...

    @property
    def name(self) -> str: ...

    @property
    def rgb(self) -> tuple[int, int, int]: ...


def label_table(workspace: Folder) -> dict[int, Folder]:
    """The registry folder of each label by the label's value, in ascending order; {} if there is no label table.

    Entries that ITK-SNAP does not read are left out: those beyond the table's NumberOfElements, and those without a
    value from 0 to MAX_VALUE.
    """
    table = main_folder(workspace).find(_TABLE) or Folder()
    found = {}
    for element in table.counted("NumberOfElements"):
        value = element.get("Index")
        if value.isdecimal() and int(value) <= MAX_VALUE:
            found[int(value)] = element
    return dict(sorted(found.items()))


def place_labels(
    ours: Sequence[Label], table: Mapping[int, Folder], used: Collection[int]
) -> dict[int, int]:
    """Choose the value that each of our labels gets in the workspace; returns it by the label's own value.

    A label of the user is never renamed, because the user's drawing would change its meaning.  No label gets the value
    0, whatever its name, because 0 is no label.  Our label gets the first
    of these values that is possible: the value that already has its name; its own value, if that is free; the next
    value above all others; the lowest free value (if 65535 is in use, for instance).  A value is free if no
    segmentation uses it (``used``) and it has no name other than ITK-SNAP's placeholder.  Raises WorkspaceInvalid if no
    value is left.
    """
    names = {e.get("Label").casefold(): value for value, e in table.items() if value}
    taken = set(used) | {v for v, element in table.items() if not _is_placeholder(v, element)}
    wanted = {label.value for label in ours}
    spare = _spare_values(taken, {*used, *table, *wanted}, wanted | set(names.values()))
    places: dict[int, int] = {}
    assigned: set[int] = set()
    for label in ours:
        place = names.get(label.name.casefold(), label.value)
        same_name = label.name.casefold() in names
        if place in assigned or (place in taken and not same_name):
            place = _next_of(spare)
        places[label.value] = place
        assigned.add(place)
    return places


def _spare_values(taken: set[int], known: set[int], reserved: set[int]) -> Iterator[int]:
    """Values for new labels: first the values above all ``known`` ones, then, from 1 on, values that are neither
    ``taken`` nor ``reserved``.
    """
    above = max(known, default=0)
    yield from range(above + 1, MAX_VALUE + 1)
    used = taken | reserved
    yield from (v for v in range(1, min(above, MAX_VALUE) + 1) if v not in used)


def _next_of(spare: Iterator[int]) -> int:
    """The next value of ``spare``.  Raises WorkspaceInvalid, with a sentence for the user, if there is none."""
    for value in spare:
        return value
    raise WorkspaceInvalid(
        f"The workspace has no free label values left for the segmentation: all from 1 to {MAX_VALUE} "
        "are drawn or named. Remove labels that are not needed."
    )


def _is_placeholder(value: int, element: Folder) -> bool:
    return element.get("Label") in {"", f"Label {value}"}


def add_labels(
    workspace: Folder,
    ours: Sequence[Label],
    places: Mapping[int, int],
    used: Collection[int],
    default_colour: Callable[[int], tuple[int, int, int]],
) -> None:
    """Add our labels to the label table, and a placeholder for each value in ``used`` that the table lacks.

    ``places`` are the values that ``place_labels`` has returned.  A value that already has a name keeps it and its
    colour; a placeholder in the table is replaced by our label.  ``default_colour`` gives the colour (red, green, blue,
    0..255) of a new placeholder by its value.
    """
    table = label_table(workspace)
    for value in used:
        if value not in table:
            table[value] = _element(value, f"Label {value}", default_colour(value))
    for label in ours:
        place = places[label.value]
        if place not in table or _is_placeholder(place, table[place]):
            table[place] = _element(place, label.name, label.rgb)
    _write(workspace, table)


def _element(value: int, name: str, rgb: tuple[int, int, int]) -> Folder:
    color = " ".join(str(part) for part in rgb)
    flags = "1 1"  # visible in 3-D, visible
    entries = {"Alpha": "255", "Color": color, "Flags": flags, "Index": str(value), "Label": name}
    return Folder(entries=entries)


def _write(workspace: Folder, table: Mapping[int, Folder]) -> None:
    folder = main_folder(workspace).make(_TABLE)
    for key in [key for key in folder.folders if _ELEMENT_KEY.fullmatch(key)]:
        del folder.folders[key]
    folder.set("NumberOfElements", str(len(table)))
    for i, value in enumerate(sorted(table)):
        folder.folders[f"Element[{i}]"] = table[value]
