# mypy: allow-untyped-calls
"""The images among a provider's results: in the grid, and with the voxels, of those that were sent."""

from collections.abc import Callable
from pathlib import Path

import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from support.builders import (
    MAIN,
    WorkspaceSpec,
    image,
    landmarks_xml,
    result_files,
    submit,
)
from support.provided_results import judge, mesh, on, with_mesh


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
    made = {**result_files(main(), on(main()))}
    renamed = {
        name.replace(MAIN.file_name, "mine.nii.gz"): data.replace(
            MAIN.file_name.encode(), b"mine.nii.gz"
        )
        for name, data in made.items()
    }

    assert "lies in the grid of no image that was sent" in judge(tmp_path, renamed)


def test_other_voxels_under_the_name_of_an_image_that_was_sent_are_refused(tmp_path: Path) -> None:
    submit(tmp_path, spec=WorkspaceSpec(layers=(MAIN,)))
    brighter = sitk.Cast(image() + 100, image().GetPixelID())

    said = judge(tmp_path, result_files(brighter))

    assert f"'{MAIN.file_name}' is not the image that was sent under this name" in said


def test_other_intensities_under_a_name_of_their_own_pass_in_the_same_grid(tmp_path: Path) -> None:
    submit(tmp_path, spec=WorkspaceSpec(layers=(MAIN,)))
    brighter = sitk.Cast(image() + 100, image().GetPixelID())
    renamed = {
        name.replace(MAIN.file_name, "mine.nii.gz"): data.replace(
            MAIN.file_name.encode(), b"mine.nii.gz"
        )
        for name, data in result_files(brighter).items()
    }

    assert judge(tmp_path, renamed) == ""


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
