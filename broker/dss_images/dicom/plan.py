"""Decides how to build the image of a series: which slices, and whether they must be resampled.

A series that cannot become an image is refused with a sentence that names slices.
"""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dss_images.dicom.errors import DicomRefused
from dss_images.dicom.notes import Note
from dss_images.dicom.phases import (
    Values,
    interleaved,
    phases_of,
    require_alike,
    without_copies,
)
from dss_images.dicom.slice_stack import (
    TOLERANCE_MM,
    EvenSteps,
    SliceStack,
    corner_error_mm,
    even_steps,
    is_evenly_tilted,
    require_no_gap,
    require_stacked,
    stack_of,
    tilt_degrees,
)
from dss_images.dicom.slices import Slice, counted, named

_SAME_DIRECTION = 1e-3
_FEW = 3
_SMALL_SHARE = 0.2
"""Slices of another orientation than most count as localizers, even if no tag says so, if their number is at most _FEW
or at most this fraction of all slices.
"""

_ALONG = 0.7
"""If the cosine between the normals of two slices is larger than this, neither is a localizer for the other."""

_MOST_PARTS = 9

_TILTED_DEGREES = 0.5


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to build an image from ``stack``, and notes for the user.

    ``steps`` is None if the slices must be resampled, because they are not evenly spaced and perpendicular.
    """

    stack: SliceStack
    steps: EvenSteps | None
    notes: tuple[Note, ...]


def judge(slices: Sequence[Slice], phase: int, values: Values) -> Plan:
    """Choose the slices of the image and make a plan for it.

    ``phase`` is the number of the phase, or of the orientation, that the user wants, from 1.  With 0, the first phase
    is chosen, with a warning, if all phases begin and end at the same positions; otherwise, and with several
    orientations, the series is refused.  ``values`` reads the values of a slice.  Raises DicomRefused.
    """
    notes: list[Note] = []
    slices = _without_marked(slices, notes)
    _require_tags(slices)
    slices, phase = _of_one_orientation(slices, phase, notes)
    _require_one(slices, "matrices", lambda s: (s.columns, s.rows), "{0[0]} x {0[1]} pixels")
    _require_one(slices, "pixel sizes", _spacing, "{0[0]:g} x {0[1]:g} mm")
    referenced = [one for one in slices if one.frame_of_reference]
    _require_one(referenced, "frames of reference", lambda s: s.frame_of_reference, "{0}")
    if len(slices) < 2:
        raise DicomRefused(
            f"The series has a single slice, {named(slices)}, and a volume needs at "
            "least 3; give the folder of its series."
        )
    slices, copies = without_copies(slices, values)
    notes += copies
    groups, mark = phases_of(slices)
    if len(groups) == 1:
        groups, mark = interleaved(groups[0])
    chosen = _phase(groups, mark, phase, notes)
    try:
        return _plan(stack_of(chosen), notes)
    except DicomRefused as refusal:
        if len(groups) == 1:
            raise
        others = f"That is phase {max(phase, 1)} of {len(groups)}; choose another with --series NUMBER.PHASE."
        raise DicomRefused(f"{refusal} {others}") from refusal


def _require_tags(slices: Sequence[Slice]) -> None:
    sharing = [one for one in slices if one.shares_position]
    if sharing:
        raise DicomRefused(
            f"The file {sharing[0].name} has one position for {sharing[0].pixels.frames} frames, and no tag says "
            "how far they lie apart in space (SpacingBetweenSlices, SliceThickness or GridFrameOffsetVector). "
            "Export the series with a position for each slice."
        )
    for keyword, has in (
        ("ImagePositionPatient", lambda s: s.position_mm is not None),
        ("ImageOrientationPatient", lambda s: s.orientation is not None),
        ("PixelSpacing", lambda s: s.spacing_mm is not None and min(s.spacing_mm) > 0),
        ("RescaleSlope", lambda s: math.isfinite(s.slope) and s.slope != 0),
        ("RescaleIntercept", lambda s: math.isfinite(s.intercept)),
    ):
        without = [one for one in slices if not has(one)]
        if without:
            raise DicomRefused(
                f"{keyword} is missing or no usable number in {counted(len(without), 'slice')}: "
                f"{named(without)}. Without it nobody can tell where the slice lies or what it shows; "
                "export the series anew."
            )


def _without_marked(slices: Sequence[Slice], notes: list[Note]) -> list[Slice]:
    """The slices without those whose ImageType says that they are localizers; all slices if all are localizers.

    Appends a note about dropped slices to ``notes``.
    """
    marked = [one for one in slices if one.localizer]
    if not marked or len(marked) == len(slices):
        return list(slices)
    notes.append(_left_out(marked, "info"))
    return [one for one in slices if not one.localizer]


def _of_one_orientation(
    slices: Sequence[Slice], part: int, notes: list[Note]
) -> tuple[list[Slice], int]:
    """The slices of one orientation, and the phase to choose from them.

    A few slices at more than 45 degrees to the others are dropped as localizers, with a note, and ``part`` is returned
    as the phase.  If more slices have other orientations, or the angle is smaller, ``part`` chooses an orientation,
    from 1 by InstanceNumber, and the phase is 0; raises DicomRefused if ``part`` is not the number of an orientation.
    """
    groups = sorted(_by_direction(slices), key=lambda g: min(one.number or 0 for one in g))
    main = max(groups, key=len)
    turned = [one for one in slices if not any(one is other for other in main)]
    if not turned:
        return main, part
    several = len(turned) > max(_FEW, _SMALL_SHARE * len(slices)) or len(turned) >= len(main)
    if several or any(_is_along(one, main[0]) for one in turned):
        return _of_part([g for g in groups if len(g) >= _FEW], part, main, turned, notes), 0
    notes.append(_left_out(turned, "warning"))
    return main, part


def _of_part(
    parts: Sequence[list[Slice]],
    part: int,
    main: Sequence[Slice],
    turned: Sequence[Slice],
    notes: list[Note],
) -> list[Slice]:
    """The slices ``parts[part - 1]`` of one of several orientations, with a note for the user.

    Raises DicomRefused, naming slices, if ``part`` is not the number of an orientation.
    """
    if len(parts) > 1 and 0 < part <= len(parts):
        count = counted(len(parts[part - 1]), "slice")
        text = f"The series holds {len(parts)} orientations; part {part} was taken, {count}."
        notes.append(Note(text=text))
        return parts[part - 1]
    several = (
        f"Send one orientation, with --series NUMBER.PART, PART from 1 to {len(parts)}."
        if 1 < len(parts) <= _MOST_PARTS
        else "Send one orientation."
    )
    raise DicomRefused(
        f"The series mixes slices of different orientations: {counted(len(main), 'slice')} like "
        f"{named(main[:1])}, and {named(turned)}. {several}"
    )


def _is_along(one: Slice, other: Slice) -> bool:
    """True if the angle between the planes of two slices is less than about 45 degrees: neither is then a localizer."""
    normals = [
        np.cross(s.orientation[:3], s.orientation[3:]) for s in (one, other) if s.orientation
    ]
    return bool(abs(normals[0] @ normals[1]) > _ALONG)


def _left_out(localizers: Sequence[Slice], level: Literal["info", "warning"]) -> Note:
    count = counted(len(localizers), "localizer")
    return Note(text=f"{count} of the series left out: {_numbers(localizers)}.", level=level)


def _numbers(slices: Sequence[Slice]) -> str:
    """The first InstanceNumbers of ``slices``, for a note.  Slices are not named by file there, as in a refusal."""
    known = [str(one.number) for one in slices if one.number is not None]
    return f"InstanceNumber {', '.join(known[:6])}" if known else "without InstanceNumber"


def _by_direction(slices: Sequence[Slice]) -> list[list[Slice]]:
    groups: list[list[Slice]] = []
    for one in slices:
        for group in groups:
            difference = np.subtract(one.orientation or (), group[0].orientation or ())
            if np.abs(difference).max() < _SAME_DIRECTION:
                group.append(one)
                break
        else:
            groups.append([one])
    return groups


def _require_one(
    slices: Sequence[Slice], noun: str, value: Callable[[Slice], Hashable], form: str
) -> None:
    usual = Counter(value(one) for one in slices).most_common(1)[0][0] if slices else None
    others = [one for one in slices if value(one) != usual]
    if others:
        raise DicomRefused(
            f"The slices have different {noun}: {form.format(usual)}, but "
            f"{form.format(value(others[0]))} in {named(others)}. Send slices that belong together."
        )


def _spacing(one: Slice) -> tuple[float, ...]:
    """The slice's pixel spacing in millimetres, rounded, because it may differ in the last digits within a series."""
    return tuple(round(mm, 4) for mm in one.spacing_mm or ())


def _phase(groups: list[list[Slice]], mark: str, wanted: int, notes: list[Note]) -> list[Slice]:
    if wanted > len(groups):
        raise DicomRefused(
            f"The series has {counted(len(groups), 'phase')}; there is no phase {wanted}."
        )
    if len(groups) > 1:
        if not wanted:
            require_alike(groups, mark)
        taken = max(wanted, 1)
        text = (
            f"The series holds {len(groups)} phases, told apart by {mark}; phase {taken} was taken, "
            f"{counted(len(groups[taken - 1]), 'slice')}."
        )
        if not wanted:
            text += " Another one is sent with --series NUMBER.PHASE."
        notes.append(Note(text=text, level="info" if wanted else "warning"))
    return groups[max(wanted, 1) - 1]


def _plan(stack: SliceStack, notes: list[Note]) -> Plan:
    if len(stack.slices) < 2:
        raise DicomRefused(f"Only {stack.name([0])} is left; a volume needs at least 3 slices.")
    off = corner_error_mm(stack)
    if off.max() > TOLERANCE_MM:
        turned = [int(i) for i in np.flatnonzero(off > TOLERANCE_MM)]
        raise DicomRefused(
            f"The slices are turned against each other, or their directions are not at right angles: "
            f"{stack.name(turned)} by up to {off.max():.2f} mm. Send a series of one orientation."
        )
    steps = even_steps(stack, float(off.max()))
    if steps is None:
        require_stacked(stack)
        require_no_gap(stack)
        notes.append(_why_resampled(stack))
    tilt = stack.slices[0].tilt_degrees
    if abs(tilt) > _TILTED_DEGREES and tilt_degrees(stack) < _TILTED_DEGREES:
        text = (
            f"The tag GantryDetectorTilt says {tilt:g} degrees, positions and orientation say none; "
            "these were followed."
        )
        notes.append(Note(text=text, level="warning"))
    return Plan(stack=stack, steps=steps, notes=tuple(notes))


def _why_resampled(stack: SliceStack) -> Note:
    steps = np.diff(stack.places_mm)
    reasons = []
    if np.abs(stack.shifts_mm).max() > TOLERANCE_MM:
        if is_evenly_tilted(stack):
            reasons.append(f"from a gantry tilt of {tilt_degrees(stack):.1f} degrees")
        else:
            most = float(np.linalg.norm(stack.shifts_mm, axis=1).max())
            reasons.append(f"from slices shifted against each other by up to {most:.2f} mm")
    even = stack.places_mm[-1] / len(steps) * np.arange(len(steps) + 1)
    if np.abs(stack.places_mm - even).max() > TOLERANCE_MM:
        reasons.append(f"from uneven steps of {steps.min():.3g} to {steps.max():.3g} mm")
    return Note(
        text=f"The image was resampled {' and '.join(reasons)}, by linear interpolation.",
        level="warning",
    )
