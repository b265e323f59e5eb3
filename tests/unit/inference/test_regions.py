# mypy: allow-untyped-calls
"""A part of an image: a box of voxels, one of several time points."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_images.grid import file_grid_of
from dss_inference.bundle import Bundle, BundleOutcome
from dss_inference.bundle_catalogue import load
from dss_inference.ct.reading import read_ct
from dss_inference.ct.region import UNRESTRICTED, Box, Region, region_of
from dss_inference.ct.writing import write_segmentation
from dss_inference.device.runner import Runner
from dss_inference.errors import InferenceError
from dss_inference.lungs.bundle import LungSegmentation
from dss_phantom.chest import PhantomSpec, make_phantom
from support.builders import write_image

BOX = Box(first=(2, 1, 3), end=(9, 7, 8))
ORIENTATIONS = ("LPS", "RAS", "PIR", "ASL")
FORMATS = ("nii.gz", "nii", "nrrd", "mha")


def ct(seed: int = 1) -> sitk.Image:
    """12 x 10 x 9 voxels with no two alike, 20 degrees oblique."""
    numbers = np.random.default_rng(seed).permutation(12 * 10 * 9).reshape(9, 10, 12)
    image = sitk.GetImageFromArray((numbers - 1000).astype(np.int16))
    turned = sitk.Euler3DTransform((0, 0, 0), 0.35, 0, 0)
    image.SetDirection(turned.GetMatrix())
    image.SetSpacing((4.0, 3.0, 2.5))
    image.SetOrigin((-20.0, 7.5, 100.25))
    return image


def series(count: int = 4) -> sitk.Image:
    """Frames of other people on one grid."""
    frames = [ct(seed) for seed in range(count)]
    joined = sitk.GetArrayFromImage(frames[0])[None].repeat(count, 0)
    for frame, image in zip(joined, frames, strict=True):
        frame[:] = sitk.GetArrayFromImage(image)
    together = sitk.GetImageFromArray(joined, isVector=False)
    together.SetSpacing((*frames[0].GetSpacing(), 1.5))
    together.SetOrigin((*frames[0].GetOrigin(), 0.0))
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(frames[0].GetDirection(), (3, 3))
    together.SetDirection(matrix.ravel().tolist())
    return together


def written_marks(path: Path, region: Region, folder: Path, value: int) -> npt.NDArray[np.uint8]:
    """What a bundle writes that marks the voxel of that ``value``, as the file ([t,] z, y, x) has it."""
    found = read_ct(path, region)
    marks = (found.hu == value).astype(np.uint8)
    segmentation = sitk.ReadImage(write_segmentation(marks, found, folder))
    assert file_grid_of(segmentation).is_same_as(file_grid_of(sitk.ReadImage(path)))
    marked: npt.NDArray[np.uint8] = sitk.GetArrayFromImage(segmentation)
    return marked


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_what_is_found_in_a_box_lies_there_in_the_whole(
    tmp_path: Path, orientation: str, suffix: str
) -> None:
    image = sitk.DICOMOrient(ct(), orientation)
    path = write_image(tmp_path / f"ct.{suffix}", image)
    voxels = sitk.GetArrayFromImage(sitk.ReadImage(path))
    part = voxels[BOX.slices]
    one = int(part[1, 2, 3])

    found = read_ct(path, Region(box=BOX))
    marked = written_marks(path, Region(box=BOX), tmp_path, one)

    assert sorted(found.hu.ravel()) == sorted(part.ravel())
    assert np.argwhere(marked).tolist() == np.argwhere(voxels == one).tolist()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_places_in_a_box_are_those_of_the_patient(tmp_path: Path, orientation: str) -> None:
    path = write_image(tmp_path / "ct.nii.gz", sitk.DICOMOrient(ct(), orientation))
    whole, part = read_ct(path), read_ct(path, Region(box=BOX))
    value = part.hu[2, 2, 2]

    (in_whole,), (in_part,) = np.argwhere(whole.hu == value), np.argwhere(part.hu == value)

    here, there = whole.point_mm(in_whole * 1.0), part.point_mm(in_part * 1.0)
    assert np.allclose(here, there)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("time_point", [1, 3, 4])
def test_one_time_point_is_read_and_written(tmp_path: Path, suffix: str, time_point: int) -> None:
    path = write_image(tmp_path / f"cine.{suffix}", series())
    frames = sitk.GetArrayFromImage(series())
    one = int(frames[time_point - 1, 4, 4, 4])

    found = read_ct(path, Region(time_point=time_point))
    marked = written_marks(path, Region(time_point=time_point, box=BOX), tmp_path, one)

    assert found.hu.size == 12 * 10 * 9
    assert sorted(found.hu.ravel()) == sorted(frames[time_point - 1].ravel())
    assert np.argwhere(marked).tolist() == [[time_point - 1, 4, 4, 4]]


def test_of_several_time_points_one_must_be_chosen(tmp_path: Path) -> None:
    path = write_image(tmp_path / "cine.nii.gz", series())

    with pytest.raises(InferenceError, match="has 4 time points; say which one"):
        read_ct(path, UNRESTRICTED)
    with pytest.raises(
        InferenceError, match="Time point 5 is to be looked at, but the image has 4"
    ):
        read_ct(path, Region(time_point=5))


def test_a_plain_volume_has_one_time_point(tmp_path: Path) -> None:
    path = write_image(tmp_path / "ct.nii.gz", ct())

    assert read_ct(path, Region(time_point=1)).hu.size == 12 * 10 * 9
    with pytest.raises(
        InferenceError, match="Time point 2 is to be looked at, but the image has 1"
    ):
        read_ct(path, Region(time_point=2))


def test_a_cut_off_series_is_refused_though_its_first_frames_are_whole(tmp_path: Path) -> None:
    path = write_image(tmp_path / "cine.nii", series())
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(InferenceError, match="ends too early"):
        read_ct(path, Region(time_point=1))


@pytest.mark.parametrize("box", ["0 0 0 13 1 1", "5 5 5 5 6 6", "6 6 6 5 7 7"])
def test_a_box_without_voxels_of_the_image_is_refused(tmp_path: Path, box: str) -> None:
    path = write_image(tmp_path / "ct.nii.gz", ct())

    with pytest.raises(InferenceError, match="does not lie in the image of 12 x 10 x 9 voxels"):
        read_ct(path, region_of({"crop_box": box}))


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"crop_box": "1 2 3"}, "crop_box is '1 2 3'; it must be 6 whole numbers."),
        ({"crop_box": "1 2 3 4 5 six"}, "it must be 6 whole numbers."),
        ({"crop_box": "-1 0 0 4 4 4"}, "it must be 6 whole numbers."),
        ({"time_point": "first"}, "time_point is 'first'; it must be a whole number."),
        ({"time_point": "99999999999"}, "it must be a whole number."),
    ],
)
def test_parameters_that_make_no_sense_are_named(parameters: dict[str, str], sentence: str) -> None:
    with pytest.raises(InferenceError) as caught:
        region_of(parameters)

    assert sentence in str(caught.value)


def test_without_parameters_everything_is_looked_at() -> None:
    assert region_of({"least_score": "0.5", "crop_box": "", "time_point": " "}) == UNRESTRICTED
    assert region_of({"crop_box": "2,1,3,9,7,8", "time_point": "2"}) == Region(
        time_point=2, box=BOX
    )


def chest(folder: Path) -> Path:
    spec = PhantomSpec(size=(64, 64, 52), spacing_mm=(6, 6, 6), orientation="RAS")
    return write_image(folder / "ct.nii.gz", make_phantom(spec, Runner("cpu")).ct)


INSIDE = np.s_[12:40, 10:50, 20:44]
"""The voxels (z, y, x) of this:"""
PART = {"crop_box": "20 10 12 44 50 40"}


def segmented(
    bundle: Bundle, path: Path, folder: Path, parameters: dict[str, str]
) -> tuple[BundleOutcome, npt.NDArray[np.uint8]]:
    folder.mkdir()
    outcome = bundle.run(path, folder, parameters, lambda *_: None, lambda: False)
    return outcome, sitk.GetArrayFromImage(sitk.ReadImage(outcome.segmentation))


@pytest.mark.slow
def test_lungs_are_those_of_the_whole_image_as_far_as_they_lie_in_the_box(tmp_path: Path) -> None:
    path, bundle = chest(tmp_path), LungSegmentation(Runner("cpu"))

    _, whole = segmented(bundle, path, tmp_path / "whole", {})
    outcome, part = segmented(bundle, path, tmp_path / "part", PART)

    assert whole[INSIDE].any()
    assert np.array_equal(part[INSIDE], whole[INSIDE])
    assert np.count_nonzero(part) == np.count_nonzero(part[INSIDE])
    *quality, picture = outcome.reports
    assert picture.mime_type == "image/png"
    assert len(quality) == 2
    assert outcome.notes[0].text.startswith("Verdict on the lungs")
    assert outcome.notes[1].text.startswith("The verdict is on the lungs of the whole image")


@pytest.mark.slow
def test_a_network_sees_the_box_alone(tmp_path: Path) -> None:
    bundle = load("lung-segmentation-demo", "cpu", 1)

    outcome, part = segmented(bundle, chest(tmp_path), tmp_path / "part", PART)

    assert part[INSIDE].any()
    assert np.count_nonzero(part) == np.count_nonzero(part[INSIDE])
    volume_ml = sum(label.volume_ml for label in outcome.labels)
    assert volume_ml == pytest.approx(np.count_nonzero(part) * 6**3 / 1000, abs=0.2)
