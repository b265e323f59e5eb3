# mypy: allow-untyped-calls
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_dispatch.errors import TicketError
from dss_dispatch.ticket_images import (
    grid_difference,
    in_grid_of,
    label_values,
    read_header,
    renumber,
)
from support.builders import OBLIQUE, image, segmentation, write_image


def test_a_header_tells_the_grid_of_the_image(tmp_path: Path) -> None:
    header = read_header(write_image(tmp_path / "ct.nii.gz", image()))

    assert (header.size, header.dimensions, header.components) == ((12, 10, 8), 3, 1)
    assert header.direction == pytest.approx(OBLIQUE, abs=1e-6)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_images_in_one_file_can_be_read(tmp_path: Path, suffix: str) -> None:
    assert read_header(write_image(tmp_path / f"ct{suffix}", image())).dimensions == 3


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is empty"),
        (b"hello", "is not a NIfTI file, whatever"),
        (b"\x1f\x8b\x08\x00broken", "ends too early"),
    ],
)
def test_a_file_that_is_no_image_is_named_in_the_sentence(
    tmp_path: Path, data: bytes, why: str
) -> None:
    (tmp_path / "ct.nii.gz").write_bytes(data)

    with pytest.raises(TicketError, match=rf"'ct\.nii\.gz' cannot be used\. The .* {why}"):
        read_header(tmp_path / "ct.nii.gz")


def test_another_format_under_the_name_of_nifti_is_refused(tmp_path: Path) -> None:
    written = write_image(tmp_path / "ct.nrrd", image())

    with pytest.raises(TicketError, match="is NRRD, but its name ends in"):
        read_header(written.rename(tmp_path / "ct.nii.gz"))


@pytest.mark.parametrize("name", ["ct.mhd", "ct.nhdr", "ct.dcm", "ct"])
def test_formats_that_may_need_more_than_one_file_are_refused(tmp_path: Path, name: str) -> None:
    written = write_image(tmp_path / "ct.nrrd", image())

    with pytest.raises(TicketError, match="give it the right ending"):
        read_header(written.rename(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "local", "foreign"),
    [
        ("ct.mha", b"ElementDataFile = LOCAL", b"ElementDataFile = /data/other.raw"),
        ("ct.nrrd", b"\nencoding:", b"\nData File: /data/other.raw\nencoding:"),
        ("ct.nrrd", b"\nencoding:", b"\ndatafile: /data/other.raw\nencoding:"),
    ],
)
def test_an_image_may_not_take_its_voxels_from_somebody_elses_file(
    tmp_path: Path, name: str, local: bytes, foreign: bytes
) -> None:
    path = write_image(tmp_path / name, image())
    path.write_bytes(path.read_bytes().replace(local, foreign))

    with pytest.raises(TicketError, match="voxels in another file"):
        read_header(path)


def test_equal_grids_have_no_difference(tmp_path: Path) -> None:
    ct = read_header(write_image(tmp_path / "ct.nii.gz", image()))
    seg = read_header(write_image(tmp_path / "seg.nii.gz", segmentation()))

    assert grid_difference(seg, ct) == ""


def test_values_are_found_in_any_dimension(tmp_path: Path) -> None:
    flat = write_image(tmp_path / "a.nii.gz", segmentation((1, 300)))
    moving = write_image(tmp_path / "b.nii.gz", segmentation((7,), size=(4, 4, 4, 3)))

    assert label_values(flat) | label_values(moving) == {1, 7, 300}


def test_values_above_255_stay_apart_from_their_rest_if_all_places_are_below(
    tmp_path: Path,
) -> None:
    source = write_image(tmp_path / "seg.nii.gz", segmentation((44, 300)))  # 300 - 256 = 44

    renumber(source, tmp_path / "new.nii.gz", {44: 44, 300: 5})

    assert label_values(tmp_path / "new.nii.gz") == {5, 44}


def test_a_value_above_255_that_is_not_renumbered_stays(tmp_path: Path) -> None:
    source = write_image(tmp_path / "seg.nii.gz", segmentation((1, 300)))

    renumber(source, tmp_path / "new.nii.gz", {1: 2})

    assert label_values(tmp_path / "new.nii.gz") == {2, 300}


def test_renumbering_can_exchange_values_and_keeps_the_grid(tmp_path: Path) -> None:
    source = write_image(tmp_path / "seg.nii.gz", segmentation((1, 2)))

    renumber(source, tmp_path / "new.nii.gz", {1: 2, 2: 700})

    changed = sitk.ReadImage(str(tmp_path / "new.nii.gz"))
    assert [changed[x, 0, 0] for x in (0, 1, 2)] == [2, 700, 0]
    assert grid_difference(read_header(tmp_path / "new.nii.gz"), read_header(source)) == ""


def test_a_file_that_is_too_small_for_its_voxels_is_refused_before_memory_is_given(
    tmp_path: Path,
) -> None:
    path = write_image(tmp_path / "a.mha", image())
    lying = path.read_bytes().replace(b"DimSize = 12 10 8", b"DimSize = 9000 9000 900")
    path.write_bytes(lying)

    with pytest.raises(TicketError, match="ends too early"):
        label_values(path)


def turned(degrees: float) -> sitk.Image:
    """A segmentation whose spacing is not the length of its steps, to the last bit, as NRRD stores it."""
    built = segmentation((1, 2))
    turn = sitk.VersorTransform((0.3, 0.5, 0.8), np.radians(degrees))
    built.SetDirection(turn.GetMatrix())
    built.SetSpacing((0.7431, 1.123, 2.9))
    return built


def test_a_segmentation_that_differs_by_rounding_gets_the_grid_of_the_image(
    tmp_path: Path,
) -> None:
    differ = 0
    for degrees in range(10, 40):
        sent = write_image(tmp_path / "ct.nii.gz", turned(degrees))
        given = tmp_path / "segmentation.nrrd"
        sitk.WriteImage(sitk.ReadImage(str(sent)), str(given))
        differ += grid_difference(read_header(given), read_header(sent)) != ""

        found = in_grid_of(given, sent)

        assert grid_difference(read_header(found), read_header(sent)) == ""
        assert label_values(found) == {1, 2}
    assert differ


def test_a_segmentation_in_another_place_stays_there(tmp_path: Path) -> None:
    moved = turned(20)
    moved.SetOrigin((1.0, 2.0, 3.0))
    given = write_image(tmp_path / "segmentation.nrrd", moved)

    assert in_grid_of(given, write_image(tmp_path / "ct.nii.gz", turned(20))) == given
