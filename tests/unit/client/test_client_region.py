# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""A box and a time point that ``dss send`` marks are those that a dispatcher reads."""

from dataclasses import replace
from pathlib import Path

import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_broker.dispatch_section import Dispatch
from dss_client.errors import ImageUnreadable, ServiceUnfit
from dss_client.plain_nifti import copy_unchanged
from dss_client.records import ServiceDetail, Tag
from dss_dispatch.submission.marked_region import read_marked_region
from dss_dispatch.ticket_images import ImageHeader
from dss_submission.layer import Layer
from dss_submission.preparing import CopyFile, Silent, Source, prepare
from dss_submission.region import Region, box_in, mark, require_fit
from dss_submission.workspace import write_workspace
from dss_workspace.landmarks import landmark_names
from dss_workspace.registry import Folder, read
from support.builders import image, write_image

SIZE = (12, 10, 8, 3)
CORNERS = tuple(Tag(name=name, type="PointLandmark") for name in ("CropFrom", "CropTo"))
MARKED = ServiceDetail(tags=(*CORNERS, Tag(name="TimePoint", type="TimePoint")))
DISPATCH = Dispatch(tag="CT", crop_box=("CropFrom", "CropTo"), time_point="TimePoint")
IMAGE = ImageHeader(
    size=SIZE,
    spacing_mm=(1.0, 1.0, 1.0),
    origin_mm=(0.0, 0.0, 0.0),
    direction=(1, 0, 0, 0, 1, 0, 0, 0, 1),
    components=1,
    pixel_type="int16",
)


def test_a_required_mark_is_given_by_the_options(tmp_path: Path) -> None:
    needed = tuple(replace(tag, required=True) for tag in MARKED.tags)
    service = ServiceDetail(tags=(Tag(name="CT", type="MainImage", required=True), *needed))
    scan = write_image(tmp_path / "scan.nii.gz", sitk.Image(SIZE, sitk.sitkInt16))
    region = Region(box=box_in("3:9,2:10,1:8"), time_point=2)

    written = read(prepare(Source(path=scan, region=region), service, tmp_path, Silent())(1))

    assert landmark_names(written) == {"CropFrom", "CropTo"}
    with pytest.raises(ServiceUnfit, match="needs 'CropFrom'"):
        prepare(Source(path=scan), service, tmp_path, Silent())


@pytest.mark.parametrize("box", ["0:2,0:2,0:2", "3:9,2:10,1:8", "0:12,0:10,0:8"])
@pytest.mark.parametrize("time_point", [1, 3])
def test_a_dispatcher_reads_the_marked_box_and_time_point(
    tmp_path: Path, box: str, time_point: int
) -> None:
    region = Region(box=box_in(box), time_point=time_point)
    layer = Layer(path=tmp_path / "layer.nii.gz", size=SIZE)

    written = write_workspace(1, layer, ["CT"], (), lambda root: mark(root, region, MARKED, SIZE))
    found = read_marked_region(read(written), DISPATCH, IMAGE)

    numbers = [pair.split(":") for pair in box.split(",")]
    expected = " ".join([*(a for a, _ in numbers), *(b for _, b in numbers)])
    assert found.parameters == {"time_point": str(time_point), "crop_box": expected}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "0:2,0:2",
        "0:1,0:2,0:2",
        "2:0,0:2,0:2",
        "a:b,0:2,0:2",
        "-1:3,0:2,0:2",
        "0:2,0:2,0:2,0:2",
        "0:9999999,0:2,0:2",
    ],
)
def test_what_is_no_box_is_told(text: str) -> None:
    assert box_in(text) is None


@pytest.mark.parametrize(
    ("region", "tags"),
    [
        (Region(box=((0, 0, 0), (2, 2, 2))), ()),
        (Region(box=((0, 0, 0), (2, 2, 2))), CORNERS[:1]),
        (Region(time_point=1), CORNERS),
    ],
)
def test_a_service_without_such_marks_is_told_before_an_image_is_read(
    region: Region, tags: tuple[Tag, ...]
) -> None:
    with pytest.raises(ServiceUnfit, match="The service takes no --"):
        require_fit(region, ServiceDetail(tags=tags))


@pytest.mark.parametrize(
    ("region", "size", "sentence"),
    [
        (Region(box=((0, 0, 0), (13, 2, 2))), SIZE, "outside the image of 12 x 10 x 8 voxels"),
        (Region(time_point=4), SIZE, "no time point 4 to choose: the image has 3 time points"),
        (Region(time_point=1), SIZE[:3], "the image has one time point"),
    ],
)
def test_a_mark_outside_the_image_is_told(
    region: Region, size: tuple[int, ...], sentence: str
) -> None:
    with pytest.raises(ImageUnreadable, match=sentence):
        mark(Folder(), region, MARKED, size)


CT = Tag(name="CT", type="MainImage", required=True)
ONE_OF = ServiceDetail(tags=(CT, Tag(name="Phase", type="TimePoint")))


@pytest.mark.parametrize("way", [None, copy_unchanged])
def test_a_series_in_time_without_a_chosen_time_point_is_refused_before_the_upload(
    tmp_path: Path, way: CopyFile | None
) -> None:
    path, out = write_image(tmp_path / "series.nii", image((6, 5, 4, 3))), tmp_path / "out"
    out.mkdir()

    with pytest.raises(ImageUnreadable, match=r"3 time points; .* N \(1 to 3\), .* tag 'Phase'"):
        prepare(Source(path=path), ONE_OF, out, Silent(), way)

    volume = write_image(tmp_path / "volume.nii", image((6, 5, 4)))
    assert prepare(Source(path=volume), ONE_OF, out, Silent(), way)(7).is_file()
    chosen = Source(path=path, region=Region(time_point=2))
    assert prepare(chosen, ONE_OF, out, Silent(), way)(7).is_file()


def test_a_series_in_time_is_warned_of_if_the_service_does_not_say_what_it_takes(
    tmp_path: Path,
) -> None:
    told = Noted()
    for name, size in (("series.nii", (6, 5, 4, 3)), ("volume.nii", (6, 5, 4))):
        source = Source(path=write_image(tmp_path / name, image(size)))
        prepare(source, ServiceDetail(tags=(CT,)), tmp_path, told)

    (warning,) = told.notes
    assert "A service that takes one volume refuses it" in warning


def test_a_time_point_that_a_workspace_chooses_is_seen(tmp_path: Path) -> None:
    path, out = write_image(tmp_path / "series.nii", image((6, 5, 4, 3))), tmp_path / "out"
    out.mkdir()
    chosen = Source(path=path, region=Region(time_point=2))
    workspace = prepare(chosen, ONE_OF, out, Silent())(7).rename(tmp_path / "mine.itksnap")

    assert prepare(Source(path=workspace), ONE_OF, tmp_path, Silent())(8).is_file()
    text = workspace.read_text(encoding="utf-8")
    workspace.write_text(text.replace('value="Phase"', 'value=""'), encoding="utf-8")
    with pytest.raises(ImageUnreadable, match="works on one of them"):
        prepare(Source(path=workspace), ONE_OF, tmp_path, Silent())


class Noted(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)
