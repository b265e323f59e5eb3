"""Separates slices at the same position: copies of each other, or phases (of time, echo or energy)."""

import hashlib
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from dss_images.dicom.errors import DicomRefused
from dss_images.dicom.notes import Note
from dss_images.dicom.parsing import MARKS
from dss_images.dicom.slice_stack import TOLERANCE_MM, SliceStack, stack_of
from dss_images.dicom.slices import Slice, counted

Values = Callable[[Slice], npt.NDArray[np.generic]]

_UNEVEN = 1.25
_CONTRASTS = (
    "TemporalPositionIdentifier",
    "NominalPercentageOfCardiacPhase",
    "EchoTime",
    "InversionTime",
    "DiffusionBValue",
    "KVP",
    "ConvolutionKernel",
)

_SAME_END = 1.5
"""Most slice steps between the first slices, or between the last slices, of two groups that may be phases."""

_MOST_TOLD = 4

_SAME_PLACE = 0.1
"""Slices whose distance along the normal is at most this fraction of the median step are at the same position."""


def places_of(stack: SliceStack) -> list[list[int]]:
    """The positions along the stack, in order, each as a list of the indices of the slices at it."""
    steps = np.diff(stack.places_mm)
    apart = steps[steps > TOLERANCE_MM]
    near_mm = (
        max(TOLERANCE_MM, _SAME_PLACE * float(np.median(apart))) if len(apart) else TOLERANCE_MM
    )
    places = [[0]]
    for i, step in enumerate(steps, start=1):
        if step > near_mm:
            places.append([])
        places[-1].append(i)
    return places


def without_copies(slices: Sequence[Slice], values: Values) -> tuple[list[Slice], list[Note]]:
    """The slices without copies, which have the position and the values of an earlier slice, and a note of how many
    were dropped.  ``values`` reads the values of a slice.  Raises DicomRefused, as ``values`` and ``stack_of`` do.
    """
    stack = stack_of(slices)
    kept: list[Slice] = []
    for place in places_of(stack):
        kept += [stack.slices[i] for i in _different(stack, place, values)]
    dropped = len(slices) - len(kept)
    text = f"{counted(dropped, 'slice')} left out: identical copies of others."
    return kept, [Note(text=text)] if dropped else []


def _different(stack: SliceStack, place: list[int], values: Values) -> list[int]:
    if len(place) == 1:
        return place
    seen: dict[bytes, list[int]] = {}
    for i in place:
        contents = values(stack.slices[i]).astype(np.float64)
        alike = seen.setdefault(hashlib.blake2b(contents.tobytes()).digest(), [])
        if not any(_apart_mm(stack, i, j) <= TOLERANCE_MM for j in alike):
            alike.append(i)
    return sorted(i for alike in seen.values() for i in alike)


def _apart_mm(stack: SliceStack, i: int, j: int) -> float:
    aside = np.abs(stack.shifts_mm[i] - stack.shifts_mm[j]).max()
    return max(float(aside), abs(float(stack.places_mm[i] - stack.places_mm[j])))


def phases_of(slices: Sequence[Slice]) -> tuple[list[list[Slice]], str]:
    """Split ``slices`` into phases, each with at most one slice at each position, by the first of MARKS that separates
    them, otherwise by InstanceNumber.

    Returns the phases and the keyword of that tag; one phase and "" if no position has two slices.  Raises
    DicomRefused, naming slices, if no tag separates them, or if all slices are at one position.
    """
    stack = stack_of(slices)
    places = places_of(stack)
    most = max(len(place) for place in places)
    if most == 1:
        return [list(stack.slices)], ""
    if len(places) == 1:
        raise DicomRefused(
            f"All {len(slices)} slices lie at the same place ({stack.name([0])}); a volume needs slices at "
            "different places."
        )
    for mark in MARKS:
        groups = _by_mark(stack, mark)
        if len(groups) == most and all(_is_one_phase(group) for group in groups):
            return _in_order(groups, mark), mark
    by_number = _by_number(stack, places)
    if by_number:
        return by_number, "InstanceNumber"
    twice = next(place for place in places if len(place) > 1)
    raise DicomRefused(
        f"{stack.name(twice)} lie at the same place with different values, and no tag tells which of them "
        f"belong together ({counted(sum(len(p) > 1 for p in places), 'place')} of {len(places)}). "
        "Send one phase."
    )


def interleaved(slices: Sequence[Slice]) -> tuple[list[list[Slice]], str]:
    """Split slices at different positions into phases, if the slices of one phase are between those of another.

    Returns the phases and the keyword of the tag that separates them; one phase and "" if there is none.  The stacks
    (StackID) of an enhanced file become phases unless all steps are even, as in one volume.  With even steps, only tags
    that change what an image shows are tried, because the slices of one volume may come from several acquisitions.
    Raises DicomRefused, as ``stack_of`` does.
    """
    stack = stack_of(slices)
    steps = np.diff(stack.places_mm)
    uneven = bool(len(steps)) and float(steps.max()) > _UNEVEN * float(steps.min())
    stacks = _by_mark(stack, "StackID")
    if uneven and len(stacks) > 1 and all(_is_one_phase(group) for group in stacks):
        return _in_order(stacks, "StackID"), "StackID"
    for mark in MARKS if uneven else _CONTRASTS:
        groups = _by_mark(stack, mark)
        if 1 < len(groups) <= len(slices) // 3 and _overlap(stack, groups):
            return _in_order(groups, mark), mark
    return [list(slices)], ""


def require_alike(groups: Sequence[Sequence[Slice]], mark: str) -> None:
    """Raises DicomRefused, naming slices, unless all ``groups`` begin at nearly one position and end at nearly one.

    Groups that do not are different parts of the patient, not phases, and the user must choose one.  ``mark`` is the
    tag that separates them.
    """
    stacks = [stack_of(group) for group in groups]
    ends = np.array([[s.slices[0].position_mm, s.slices[-1].position_mm] for s in stacks])
    far_mm = float(np.linalg.norm(ends - ends[0], axis=2).max())
    if far_mm > _SAME_END * max(float(np.diff(s.places_mm).max()) for s in stacks):
        listed = "; ".join(
            f"{number}. {counted(len(s.slices), 'slice')}, from {s.name([0])} to {s.name([-1])}"
            for number, s in enumerate(stacks[:_MOST_TOLD], start=1)
        )
        more = f"; and {len(stacks) - _MOST_TOLD} more" if len(stacks) > _MOST_TOLD else ""
        raise DicomRefused(
            f"The series holds {len(stacks)} parts, told apart by {mark}, that do not begin and end at the same "
            f"places: {listed}{more}. Choose one with --series NUMBER.PART."
        )


def _overlap(stack: SliceStack, groups: list[list[Slice]]) -> bool:
    """True if the part of the stack that all groups have in common contains more than half of its slices."""
    index = {id(one): i for i, one in enumerate(stack.slices)}
    reach = [[index[id(one)] for one in group] for group in groups]
    begins, ends = max(min(r) for r in reach), min(max(r) for r in reach)
    return ends - begins > len(stack.slices) / 2


def _by_mark(stack: SliceStack, mark: str) -> list[list[Slice]]:
    groups: dict[str, list[Slice]] = {}
    for one in stack.slices:
        groups.setdefault(one.marks.get(mark, ""), []).append(one)
    return list(groups.values())


def _is_one_phase(group: list[Slice]) -> bool:
    return len(group) > 1 and all(len(place) == 1 for place in places_of(stack_of(group)))


def _in_order(groups: list[list[Slice]], mark: str) -> list[list[Slice]]:
    """The groups sorted by the value of ``mark`` if that is a number in all of them, otherwise by their lowest
    InstanceNumber.
    """
    try:
        return sorted(groups, key=lambda group: float(group[0].marks[mark]))
    except ValueError:
        return sorted(groups, key=_first_number)


def _first_number(group: list[Slice]) -> int:
    return min((one.number for one in group if one.number is not None), default=0)


def _by_number(stack: SliceStack, places: list[list[int]]) -> list[list[Slice]]:
    """Phases by the order of InstanceNumber at each position; [] if the numbers do not define phases.

    They do if every position has the same number of slices, and either the numbers of one phase all precede those of
    the next phase, or the slices at each position have consecutive numbers.
    """
    numbers = [one.number for one in stack.slices]
    most = max(len(place) for place in places)
    if None in numbers or len(set(numbers)) < len(numbers) or any(len(p) != most for p in places):
        return []
    ordered = [sorted(place, key=lambda i: numbers[i] or 0) for place in places]
    phases = [[place[k] for place in ordered] for k in range(most)]
    phase_numbers = [[numbers[i] or 0 for i in phase] for phase in phases]
    one_by_one = all(max(a) < min(b) for a, b in pairwise(phase_numbers))
    side_by_side = all(
        b - a == 1 for row in zip(*phase_numbers, strict=True) for a, b in pairwise(row)
    )
    if not one_by_one and not side_by_side:
        return []
    return [[stack.slices[i] for i in phase] for phase in phases]
