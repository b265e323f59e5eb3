# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""DICOM series that scanners and archives mix, pack and number in ways that were once read wrongly."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import UID

from dss_client.errors import ImageUnreadable
from dss_images.dicom.errors import DicomRefused
from dss_images.dicom.reading import read
from dss_submission.images import write_layer
from support.dicom_series import (
    CORONAL,
    TILTED,
    Plane,
    plane,
    stack,
    write,
    write_enhanced,
)
from support.dicom_truth import require_exact

CAPTURE = UID("1.2.840.10008.5.1.4.1.1.7")
OTHER = {"SeriesInstanceUID": "1.2.3", "SeriesNumber": 1}


def refusal(source: Path, series: str = "") -> str:
    with pytest.raises(DicomRefused) as caught:
        read(source, series)
    return str(caught.value)


def part(first: int, last: int, acquisition: int, more: float = 0.0) -> list[Plane]:
    """Slices ``first`` to ``last`` of a patient, taken in one acquisition."""
    return [
        plane(
            (0.0, 0.0, 3.0 * k),
            k,
            more=more,
            name=f"{acquisition}-{k}",
            tags={"AcquisitionNumber": acquisition},
        )
        for k in range(first, last + 1)
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [((1, 12), (10, 22)), ((6, 9), (1, 20)), ((1, 20), (15, 24))],
    ids=["a scan that was interrupted", "a small part first", "a small part last"],
)
def test_parts_of_a_patient_that_overlap_are_no_phases(
    tmp_path: Path, one: tuple[int, int], other: tuple[int, int]
) -> None:
    first, second = part(*one, 1), part(*other, 2, 500.0)
    write(tmp_path, [*first, *second])

    told = refusal(tmp_path)

    assert "2 parts, told apart by AcquisitionNumber" in told
    assert f"to InstanceNumber {one[1]} (at {3.0 * one[1]:.1f} mm)" in told
    require_exact(read(tmp_path, "3.2").image, second)


def test_two_volumes_beside_each_other_are_no_phases(tmp_path: Path) -> None:
    planes = stack()
    beside = [
        replace(
            p, position=(180, 30, p.position[2]), number=(p.number or 0) + 20, name=f"b{p.name}"
        )
        for p in planes
    ]
    write(tmp_path, [*planes, *[replace(p, stored=p.stored + 9) for p in beside]])

    assert "do not begin and end at the same places" in refusal(tmp_path)


def colour(one: Plane, tags: dict[str, Any]) -> Plane:
    more = {
        "SamplesPerPixel": 3,
        "PlanarConfiguration": 0,
        "PhotometricInterpretation": "RGB",
        "PixelData": bytes(one.stored.nbytes * 3),
    }
    return replace(one, tags=tags | more)


def turning(count: int) -> list[Plane]:
    """Views of a model from all around, as workstations save them."""
    turns = [2 * math.pi * k / count for k in range(count)]
    return [
        plane((0, 0, 0), k + 1, (math.cos(a), math.sin(a), 0.0, 0.0, 0.0, -1.0))
        for k, a in enumerate(turns)
    ]


NO_PLACE = {"ImagePositionPatient": None, "ImageOrientationPatient": None}
LONGER: dict[str, Callable[[], list[Plane]]] = {
    "localizers": lambda: [
        replace(p, tags={"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}) for p in stack(30)
    ],
    "captures": lambda: [
        replace(p, tags={"SOPClassUID": CAPTURE, "Modality": "CT"} | NO_PLACE) for p in stack(30)
    ],
    "views in colour": lambda: [colour(p, {}) for p in stack(30)],
    "a turning model": lambda: turning(30),
    "a bolus that is watched": lambda: [
        plane((0, 0, 5), k, more=float(k), tags={}) for k in range(30)
    ],
}


@pytest.mark.parametrize("kind", LONGER)
def test_a_longer_series_that_is_no_volume_is_not_taken(tmp_path: Path, kind: str) -> None:
    planes = stack()
    longer = [
        replace(p, name=f"other/{k}", tags=p.tags | OTHER) for k, p in enumerate(LONGER[kind]())
    ]
    write(tmp_path, [*planes, *longer])

    require_exact(read(tmp_path).image, planes)


def test_dss_send_refuses_with_the_same_words(tmp_path: Path) -> None:
    source = write(tmp_path / "series", stack(2))

    with pytest.raises(ImageUnreadable, match="a volume of several slices is needed"):
        write_layer(source, tmp_path)


def test_enhanced_files_of_one_frame_keep_their_numbers(tmp_path: Path) -> None:
    planes = stack()
    for one in [*planes[:8], *planes[11:]]:
        write_enhanced(tmp_path, [one])
        (tmp_path / "enhanced.dcm").rename(tmp_path / one.name)

    assert "between InstanceNumber 8 (at -379.0 mm) and InstanceNumber 12" in refusal(tmp_path)


@pytest.mark.parametrize(
    "turned",
    [(-1.0, 0.0, 0.0, 0.0, -1.0, 0.0), (0.0, 1.0, 0.0, -1.0, 0.0, 0.0), TILTED],
    ids=["upside down", "a quarter turn", "another tilt"],
)
def test_the_last_slices_are_no_localizers_because_they_are_turned(
    tmp_path: Path, turned: tuple[float, ...]
) -> None:
    planes = stack()
    write(tmp_path, [*planes[:18], *[replace(p, orientation=turned) for p in planes[18:]]])

    told = refusal(tmp_path)

    assert "mixes slices of different orientations" in told
    assert "InstanceNumber 19 and InstanceNumber 20" in told


@pytest.mark.parametrize(
    "contents", [bytes(9000), b"lost", b""], ids=["zeros", "as large", "empty"]
)
def test_a_lost_slice_under_a_name_without_a_pattern_is_missed(
    tmp_path: Path, contents: bytes
) -> None:
    planes = [replace(p, name=f"{(k + 3) * 7919 % 4096:X}Q") for k, p in enumerate(stack())]
    last = write(tmp_path, planes) / planes[-1].name
    last.write_bytes(contents * (last.stat().st_size // 4) if contents == b"lost" else contents)

    assert last.name in refusal(tmp_path)


def test_a_slice_without_its_rows_is_refused_by_name(tmp_path: Path) -> None:
    planes = stack()
    planes[6] = replace(planes[6], tags={"Rows": None})

    assert "CT.0007.dcm does not say its Rows" in refusal(write(tmp_path, planes))


def test_stacks_of_one_file_are_for_the_user_to_choose(tmp_path: Path) -> None:
    low = [replace(p, tags={"_stack": "1"}) for p in stack()]
    high = [replace(p, tags={"_stack": "2"}) for p in stack(start=(-20.0, 30.0, -300.0))]
    write_enhanced(tmp_path, [*low, *high])

    assert "2 parts, told apart by StackID" in refusal(tmp_path)
    require_exact(read(tmp_path, "3.2").image, high)


def test_the_user_chooses_among_the_orientations_of_one_series(tmp_path: Path) -> None:
    across = [
        replace(p, name=f"b{p.name}", number=(p.number or 0) + 20)
        for p in stack(12, orientation=CORONAL)
    ]
    planes = stack()
    write(tmp_path, [*planes, *across])

    assert "with --series NUMBER.PART, PART from 1 to 2" in refusal(tmp_path)
    require_exact(read(tmp_path, "3.1").image, planes)
    require_exact(read(tmp_path, "3.2").image, across)
    assert "mixes slices" in refusal(tmp_path, "3.3")


def test_files_are_named_where_all_numbers_are_the_same(tmp_path: Path) -> None:
    planes = [replace(p, number=0) for p in stack()]
    write(tmp_path, [*planes[:8], *planes[11:]])

    assert "between CT.0008.dcm (at -379.0 mm) and CT.0012.dcm (at -367.0 mm)" in refusal(tmp_path)
