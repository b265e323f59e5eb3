# mypy: allow-untyped-calls
"""Results of providers over HTTP that are accepted, and of which the user is told something odd."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_dispatch.result.provider_results import check_provider_results
from support.builders import (
    MAIN,
    SEGMENTED,
    LayerSpec,
    WorkspaceSpec,
    image,
    landmarks_xml,
    result_files,
    segmentation,
    submit,
    write_image,
)
from support.provided_results import Files, judge, judgement

PROBABILITY = LayerSpec(role="OverlayRole", file_name="probability.nii.gz")


def with_overlay(folder: Path, *odd: float) -> Files:
    array = np.zeros(image().GetSize()[::-1], np.float32)
    for z, value in enumerate(odd):
        array[z, 2, 1] = value
    built = sitk.GetImageFromArray(array)
    built.CopyInformation(image())
    path = write_image(folder / PROBABILITY.file_name, built)
    files = result_files(layers=(MAIN, SEGMENTED, PROBABILITY))
    return {PROBABILITY.file_name: path.read_bytes(), **files}


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_an_overlay_with_voxels_that_are_no_numbers_is_remarked_on(
    tmp_path: Path, odd: float
) -> None:
    said = judgement(tmp_path, with_overlay(tmp_path, 0.5, odd))

    assert said == (
        "The image 'probability.nii.gz' has voxels that are not numbers (NaN or infinite), the first at (1, 2, 1).",
    )


def test_an_overlay_of_numbers_needs_no_remark(tmp_path: Path) -> None:
    assert judgement(tmp_path, with_overlay(tmp_path, 0.5)) == ()


def test_an_overlay_that_is_cut_off_behind_such_a_voxel_is_refused(tmp_path: Path) -> None:
    files = with_overlay(tmp_path, np.nan)
    files[PROBABILITY.file_name] = files[PROBABILITY.file_name][:-12]

    assert "'probability.nii.gz' cannot be used. The image file is damaged" in judge(
        tmp_path, files
    )


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_a_segmentation_with_such_voxels_is_refused(tmp_path: Path, odd: float) -> None:
    """Read as labels they would be 0 or any other value."""
    built = image(pixel=sitk.sitkFloat32)
    built[1, 1, 1] = odd

    assert "voxels that are no integers" in judge(tmp_path, result_files(segmented=built))


def test_what_the_user_sent_is_not_remarked_on(tmp_path: Path) -> None:
    files = with_overlay(tmp_path, np.nan)
    sent = submit(tmp_path, spec=WorkspaceSpec(layers=(MAIN, PROBABILITY)))
    (sent / PROBABILITY.file_name).write_bytes(files[PROBABILITY.file_name])

    assert judgement(tmp_path, files) == ()


def test_an_empty_segmentation_is_remarked_on(tmp_path: Path) -> None:
    said = judgement(tmp_path, result_files(segmented=segmentation(())))

    assert said == ("The segmentation 'lungs.nii.gz' is empty: no voxel has a label.",)


NOTHING = (
    "The results have nothing but what was sent: no segmentation, image, mesh, landmark or file is new.",
)


def sent_back(folder: Path, extra: str = "") -> Files:
    """What the user has sent, with a workspace of it."""
    sent = submit(folder)
    files = result_files(layers=(MAIN,), extra=extra)
    return {
        MAIN.file_name: (sent / MAIN.file_name).read_bytes(),
        "result.itksnap": files["result.itksnap"],
    }


def test_a_result_with_nothing_new_is_remarked_on(tmp_path: Path) -> None:
    assert judgement(tmp_path, sent_back(tmp_path)) == NOTHING


def test_a_result_that_is_in_the_log_alone_is_not_remarked_on(tmp_path: Path) -> None:
    files = sent_back(tmp_path)
    results, sent = tmp_path / "results", tmp_path / "tickets" / "00000042" / "input"
    judgement(tmp_path, files)

    assert check_provider_results(results, tuple(files), sent, has_attachments=True) == ()


@pytest.mark.parametrize("new", ["report.txt", MAIN.file_name])
def test_a_new_file_or_other_voxels_are_something_new(tmp_path: Path, new: str) -> None:
    files = sent_back(tmp_path)
    other = files[MAIN.file_name] + b"\0" if new == MAIN.file_name else b"found"

    assert judgement(tmp_path, {**files, new: other}) != NOTHING


def test_a_landmark_is_something_new(tmp_path: Path) -> None:
    assert judgement(tmp_path, sent_back(tmp_path, extra=landmarks_xml(("tip", "1 2 3")))) == ()


@pytest.mark.parametrize(
    ("place", "remarked"), [("12 10 8", False), ("0 0 0", False), ("12.1 3 3", True)]
)
def test_a_landmark_outside_of_the_image_is_remarked_on(
    tmp_path: Path, place: str, remarked: bool
) -> None:
    said = judgement(tmp_path, result_files(extra=landmarks_xml(("tip", place))))

    assert said == (("The landmark 'point' lies outside of the image.",) if remarked else ())


def test_remarks_are_few(tmp_path: Path) -> None:
    """They have to fit into a message."""
    many = landmarks_xml(*(("tip", f"{99 + i} 0 0") for i in range(1000)), text="x" * 1000)

    said = judgement(tmp_path, result_files(extra=many))

    assert isinstance(said, tuple)
    assert sum(map(len, said)) <= 20 * 300


def shifted() -> sitk.Image:
    built = segmentation()
    x, y, z = built.GetOrigin()
    built.SetOrigin((x + 1e-3, y, z))
    return built


def flipped() -> sitk.Image:
    built = segmentation()
    axes = list(built.GetDirection())
    built.SetDirection([-axes[0], axes[1], axes[2], -axes[3], axes[4], axes[5], *axes[6:]])
    return built


@pytest.mark.parametrize("made", [shifted, flipped])
def test_a_segmentation_beside_its_image_is_refused(
    tmp_path: Path, made: Callable[[], sitk.Image]
) -> None:
    assert "does not lie on its image" in judge(tmp_path, result_files(segmented=made()))
