# mypy: allow-untyped-calls
"""The images among a provider's results: in the grid, and with the voxels, of those that were sent."""

from collections.abc import Callable
from pathlib import Path

import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from support.builders import (
    MAIN,
    SEGMENTED,
    LayerSpec,
    WorkspaceSpec,
    image,
    landmarks_xml,
    result_files,
    submit,
    write_image,
)
from support.provided_results import Files, judge, judgement, mesh, on, with_mesh


def mirrored() -> sitk.Image:
    built = image()
    built.SetDirection(
        [-value for value in built.GetDirection()[:3]] + list(built.GetDirection()[3:])
    )
    return built


def half_a_voxel_off() -> sitk.Image:
    built = image()
    built.SetOrigin(tuple(value + 0.5 for value in built.GetOrigin()))
    return built


@pytest.mark.parametrize(
    "main",
    [mirrored, half_a_voxel_off, lambda: image((12, 10, 9))],
    ids=["mirrored", "off", "size"],
)
def test_an_image_in_another_grid_than_what_was_sent_is_refused(
    tmp_path: Path, main: Callable[[], sitk.Image]
) -> None:
    """Its segmentation fits it, so only what was sent shows that both lie elsewhere."""
    submit(tmp_path, spec=WorkspaceSpec(layers=(MAIN,)))
    made = renamed(result_files(main(), on(main())))

    assert "lies in the grid of no image that was sent" in judge(tmp_path, made)


def test_other_voxels_under_the_name_of_an_image_that_was_sent_are_refused(tmp_path: Path) -> None:
    submit(tmp_path, spec=WorkspaceSpec(layers=(MAIN,)))
    brighter = sitk.Cast(image() + 100, image().GetPixelID())

    said = judge(tmp_path, result_files(brighter))

    assert f"'{MAIN.file_name}' is not the image that was sent under this name" in said


def renamed(files: Files) -> Files:
    """The main image under a name that the user did not send."""
    return {
        name.replace(MAIN.file_name, "mine.nii.gz"): data.replace(
            MAIN.file_name.encode(), b"mine.nii.gz"
        )
        for name, data in files.items()
    }


def test_other_intensities_under_a_name_of_their_own_pass_with_a_remark(tmp_path: Path) -> None:
    """Another patient's image may have the same grid, as after resampling to an atlas."""
    submit(tmp_path, spec=WorkspaceSpec(layers=(MAIN,)))
    brighter = sitk.Cast(image() + 100, image().GetPixelID())

    said = judgement(tmp_path, renamed(result_files(brighter)))

    assert len(said) == 1
    assert said[0].startswith("The main image 'mine.nii.gz' has other voxels than what was sent")


def test_the_same_voxels_under_another_name_need_no_remark(tmp_path: Path) -> None:
    submit(tmp_path, spec=WorkspaceSpec(layers=(MAIN,)))
    rewritten = renamed(result_files(sitk.Cast(image(), sitk.sitkFloat32)))

    assert judgement(tmp_path, rewritten) == ()


def test_a_time_point_of_a_series_is_not_compared(tmp_path: Path) -> None:
    sent = submit(tmp_path, spec=WorkspaceSpec(layers=(MAIN,)))
    write_image(sent / MAIN.file_name, sitk.JoinSeries([image() + value for value in (1, 2, 3)]))

    assert judgement(tmp_path, renamed(result_files())) == ()


@pytest.mark.parametrize("off_mm", [0.0, 0.25])
def test_an_overlay_of_the_images_size_that_does_not_lie_on_it_is_remarked_on(
    tmp_path: Path, off_mm: float
) -> None:
    submit(tmp_path, spec=WorkspaceSpec(layers=(MAIN,)))
    overlay = image()
    overlay.SetOrigin(tuple(value + off_mm for value in overlay.GetOrigin()))
    layer = LayerSpec(role="OverlayRole", file_name="probability.nii.gz")
    path = write_image(tmp_path / layer.file_name, overlay)
    files = result_files(layers=(MAIN, SEGMENTED, layer))

    said = judgement(tmp_path, {**files, layer.file_name: path.read_bytes()})

    beside = "The image 'probability.nii.gz' has the size of the main image and does not lie on it: origin"
    assert [beside in remark for remark in said] == [True] * bool(off_mm)


def test_a_landmark_that_the_user_sent_is_no_fault_of_the_provider(tmp_path: Path) -> None:
    """ITK-SNAP may write a landmark without a place."""
    lost = landmarks_xml(("tip", "nan nan nan"))
    submit(tmp_path, spec=WorkspaceSpec(extra=lost))

    assert judge(tmp_path, result_files(extra=lost)) == ""


def test_a_mesh_that_the_user_sent_may_lie_anywhere_and_have_another_name(tmp_path: Path) -> None:
    """The Python client names each file by its content."""
    sent = submit(tmp_path)
    (sent / "theirs.vtk").write_bytes(mesh(flipped=True))

    assert judge(tmp_path, with_mesh(mesh(flipped=True), "layer_0a1b.vtk")) == ""
