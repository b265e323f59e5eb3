"""What a user marks in the workspace limits what is looked at, or is refused with a sentence."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dss_dispatch.errors import ServiceInvalid, TicketError
from dss_dispatch.service import Service, service_from
from dss_dispatch.submission.marked_region import MarkedRegion, read_marked_region
from dss_dispatch.submission.reading import read_submission
from dss_dispatch.ticket_images import ImageHeader
from dss_workspace.registry import parse
from support.builders import (
    MAIN,
    WorkspaceSpec,
    image,
    landmarks_xml,
    service_json,
    submit,
    time_points_xml,
    workspace_xml,
    write_image,
)

TAGS = [
    {"name": "CT", "type": "MainImage", "required": True},
    {"name": "From", "type": "PointLandmark"},
    {"name": "To", "type": "PointLandmark"},
    {"name": "Phase", "type": "TimePoint"},
]
DISPATCH = {
    "tag": "CT",
    "bundle": "lung-segmentation",
    "segmentation": "Lungs",
    "crop_box": ["From", "To"],
    "time_point": "Phase",
}
PLAIN = ImageHeader(
    size=(12, 10, 8),
    spacing_mm=(0.75, 0.75, 2.5),
    origin_mm=(0.0, 0.0, 0.0),
    direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
    components=1,
    pixel_type="i2",
)


def service(**dispatch: object) -> Service:
    return service_from(service_json(tags=TAGS, dispatch=DISPATCH | dispatch))


def region(extra: str, there: ImageHeader = PLAIN) -> MarkedRegion:
    workspace = parse(workspace_xml(WorkspaceSpec(extra=extra)))
    return read_marked_region(workspace, service().dispatch, there)


def test_without_marks_the_whole_image_is_looked_at() -> None:
    assert region("") == MarkedRegion()
    assert region(landmarks_xml(("", "1 1 1"), ("Other", "2 2 2"))) == MarkedRegion()


def test_the_box_holds_the_voxels_of_both_corners() -> None:
    found = region(landmarks_xml(("From", "9.5 2.5 6.5"), ("To", "3.5 7.5 1.5")))

    assert found.parameters == {"crop_box": "3 2 1 10 8 7"}
    assert found.remarks == ("Only the marked box of 5 x 4 x 15 mm is looked at.",)


def test_a_landmark_may_bear_the_tag_as_its_text() -> None:
    corners = landmarks_xml(("", "1.5 1.5 1.5"), ("To", "9.5 9.5 7.5"), text="From")

    with pytest.raises(TicketError, match="2 landmarks are tagged 'From'"):
        region(corners)


def test_what_lies_outside_is_cut_off() -> None:
    found = region(landmarks_xml(("From", "-4 -4 2"), ("To", "5.5 99 99")))

    assert found.parameters == {"crop_box": "0 0 2 6 10 8"}


@given(
    st.tuples(*[st.floats(-20, 20)] * 3).map(lambda p: " ".join(map(str, p))),
    st.tuples(*[st.floats(-20, 20)] * 3).map(lambda p: " ".join(map(str, p))),
)
def test_any_two_landmarks_make_a_box_in_the_image_or_a_sentence(one: str, other: str) -> None:
    try:
        found = region(landmarks_xml(("From", one), ("To", other)))
    except TicketError:
        return  # outside or flat

    numbers = [int(word) for word in found.parameters["crop_box"].split()]
    for first, end, size in zip(numbers[:3], numbers[3:], PLAIN.size, strict=True):
        assert 0 <= first < first + 1 < end <= size


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        (landmarks_xml(("From", "1 1 1")), "landmarks 'From' and 'To' are needed, or neither"),
        (landmarks_xml(("From", "1 1 1"), ("To", "5 5 1")), "have the same z"),
        (landmarks_xml(("From", "20 1 1"), ("To", "25 5 5")), "outside the image"),
        (landmarks_xml(("From", "1 1"), ("To", "5 5 5")), "'From' has no place"),
        (landmarks_xml(("From", "1 1 nan"), ("To", "5 5 5")), "'From' has no place"),
        (landmarks_xml(("From", "1 1 1"), ("From", "2 2 2")), "2 landmarks are tagged 'From'"),
    ],
)
def test_marks_that_make_no_box_are_refused(extra: str, sentence: str) -> None:
    with pytest.raises(TicketError, match=sentence):
        region(extra)


@pytest.mark.parametrize(
    ("tags", "sentence"),
    [
        (("", "", ""), "3 time points, and none is tagged 'Phase'"),
        (("Phase", "a, Phase", ""), "2 of them are tagged 'Phase'"),
        (("", "", "", "Phase"), "Time point 4 is tagged 'Phase', but the image has 3"),
    ],
)
def test_of_a_series_one_time_point_has_to_be_tagged(
    tmp_path: Path, tags: tuple[str, ...], sentence: str
) -> None:
    folder = submit(tmp_path, spec=WorkspaceSpec(extra=time_points_xml(*tags)))
    write_image(folder / MAIN.file_name, image((12, 10, 8, 3)))

    with pytest.raises(TicketError, match=sentence):
        read_submission(folder, service())


def test_a_tagged_time_point_of_a_series_is_told(tmp_path: Path) -> None:
    folder = submit(tmp_path, spec=WorkspaceSpec(extra=time_points_xml("", "Phase")))
    write_image(folder / MAIN.file_name, image((12, 10, 8, 3)))

    found = read_submission(folder, service()).region

    assert found.parameters == {"time_point": "2"}
    assert found.remarks == ("Of 3 time points, number 2 is looked at.",)


def test_the_time_point_of_a_plain_image_is_no_matter() -> None:
    """ITK-SNAP tags it by itself: there is only one."""
    assert region(time_points_xml("Phase")) == MarkedRegion()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"crop_box": ["From"]}, "dispatch.crop_box: must be two tags"),
        ({"crop_box": ["From", "From"]}, "dispatch.crop_box: must be two tags"),
        ({"crop_box": ["From", "Phase"]}, "'Phase' must be a tag of type PointLandmark"),
        ({"time_point": "CT"}, "'CT' must be a tag of type TimePoint"),
        ({"time_point": "Nothing"}, "'Nothing' must be a tag of type TimePoint"),
    ],
)
def test_a_service_that_names_no_such_tag_is_invalid(
    changes: dict[str, object], field: str
) -> None:
    with pytest.raises(ServiceInvalid, match=field):
        service(**changes)
