# mypy: allow-untyped-calls
"""What is staged passes the gate, and nothing else does."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_dispatch.errors import ResultRefused, TicketError
from dss_dispatch.result.files import sha256
from dss_dispatch.result.gate import check_results
from dss_dispatch.result.staging import Segmentation, Staged, stage
from dss_dispatch.service import service_from
from dss_dispatch.submission.reading import read_submission
from dss_dispatch.ticket_images import label_values
from dss_workspace import layers as ws
from dss_workspace.label_table import label_table
from dss_workspace.registry import Folder, parse
from support.builders import (
    LUNGS,
    MAIN,
    LayerSpec,
    WorkspaceSpec,
    image,
    segmentation,
    service_json,
    submit,
    write_image,
)

SEGMENTATION = LayerSpec(role="SegmentationRole", file_name="old.nii.gz")
MESH = (
    '<folder key="MeshLayers" ><folder key="Layer[000]" >'
    '<folder key="MeshTimePoints" ><folder key="TimePoint[001]" ><folder key="PolyData[000]" >'
    '<entry key="AbsolutePath" value="/client/heart.vtk" />'
    "</folder></folder></folder></folder></folder>"
)


def staged(
    tmp_path: Path, spec: WorkspaceSpec | None = None, *, built: sitk.Image | None = None
) -> Staged:
    """A ticket of ``spec`` with ``built`` as what the worker has written."""
    submission = read_submission(submit(tmp_path, spec=spec), service_from(service_json()))
    (tmp_path / "work").mkdir()
    path = write_image(tmp_path / "work" / "lungs.nii.gz", built or segmentation())
    found = Segmentation(path=path, nickname="Lungs", labels=LUNGS)
    return stage(42, submission, found, tmp_path / "results")


def workspace_of(result: Staged) -> Folder:
    return parse((result.folder / "ticket_00000042_results.itksnap").read_bytes())


def test_what_is_staged_passes(tmp_path: Path) -> None:
    result = staged(tmp_path)

    files = check_results(result.folder, result.segmentation)

    assert [file.name for file in files] == [
        MAIN.file_name,
        result.segmentation,
        "ticket_00000042_results.itksnap",
    ]
    assert all(file.sha256 == sha256(result.folder / file.name) for file in files)
    assert all(file.size_bytes == (result.folder / file.name).stat().st_size for file in files)


def test_a_segmentation_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    """ITK reads it without a word, and puts zeros where the voxels are missing."""
    result = staged(tmp_path)
    file = result.folder / result.segmentation
    file.write_bytes(file.read_bytes()[:-12])
    assert sitk.GetArrayFromImage(sitk.ReadImage(file)).any()

    with pytest.raises(ResultRefused, match="the segmentation's file is cut off"):
        check_results(result.folder, result.segmentation)


def test_the_new_segmentation_is_named_by_its_content(tmp_path: Path) -> None:
    assert re.fullmatch(r"seg_lungs_[0-9a-f]{32}\.nii\.gz", staged(tmp_path).segmentation)


def test_the_users_image_is_linked_and_not_copied(tmp_path: Path) -> None:
    result = staged(tmp_path)

    assert (result.folder / MAIN.file_name).stat().st_nlink == 2


def test_a_volume_without_hard_links_gets_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)

    result = staged(tmp_path)

    assert len(check_results(result.folder, result.segmentation)) == 3


def test_staging_twice_is_the_same_as_once(tmp_path: Path) -> None:
    result = staged(tmp_path)
    first = check_results(result.folder, result.segmentation)
    submission = read_submission(
        tmp_path / "tickets" / "00000042" / "input", service_from(service_json())
    )
    found = Segmentation(path=tmp_path / "work" / "lungs.nii.gz", nickname="Lungs", labels=LUNGS)

    again = stage(42, submission, found, result.folder)

    assert check_results(again.folder, again.segmentation) == first


def test_a_segmentation_of_the_users_keeps_its_file_and_its_name(tmp_path: Path) -> None:
    spec = WorkspaceSpec(layers=(MAIN, SEGMENTATION), labels={1: "tumour"})

    result = staged(tmp_path, spec)

    assert len(check_results(result.folder, result.segmentation)) == 4
    table = label_table(workspace_of(result))
    names = {value: table[value].get("Label") for value in table}
    assert names == {1: "tumour", 2: "right lung", 3: "left lung"}
    assert label_values(result.folder / "old.nii.gz") == {1}
    assert label_values(result.folder / result.segmentation) == {2, 3}
    assert result.remarks[0].startswith("The label 'left lung' has the value 3")


@pytest.mark.parametrize(
    ("drawn", "pixel"), [(-1, sitk.sitkInt16), (65535, sitk.sitkUInt16), (-3, sitk.sitkFloat32)]
)
def test_the_users_segmentation_may_hold_the_last_value_or_a_negative_one(
    tmp_path: Path, drawn: int, pixel: int
) -> None:
    """ITK-SNAP shows -1 as 65535: its labels are unsigned."""
    folder = submit(tmp_path, spec=WorkspaceSpec(layers=(MAIN, SEGMENTATION)))
    old = image(pixel=pixel)
    old[1, 1, 1], old[2, 2, 2] = drawn, 1
    write_image(folder / SEGMENTATION.file_name, old)
    submission = read_submission(folder, service_from(service_json()))
    path = write_image(tmp_path / "lungs.nii.gz", segmentation())
    found = Segmentation(path=path, nickname="Lungs", labels=LUNGS)

    result = stage(42, submission, found, tmp_path / "results")

    assert check_results(result.folder, result.segmentation)
    ours = label_values(result.folder / result.segmentation)
    assert len(ours) == len(LUNGS)
    assert not ours & {1, drawn % 65536}
    assert drawn % 65536 in label_table(workspace_of(result))


def test_meshes_that_cannot_be_there_are_left_out_and_the_user_is_told(tmp_path: Path) -> None:
    result = staged(tmp_path, WorkspaceSpec(extra=MESH))

    assert workspace_of(result).find("MeshLayers") is None
    assert result.remarks == (
        "Mesh layers left out, since ITK-SNAP does not upload their files: 1.",
    )


def test_nothing_of_the_users_computer_is_left_in_the_workspace(tmp_path: Path) -> None:
    workspace = workspace_of(staged(tmp_path))

    values = [value for folder in workspace.walk() for value in folder.entries.values()]
    assert not [value for value in values if "/client" in value or "/home" in value]
    assert workspace.get("SaveLocation") == "/dss/tickets/00000042"


def shifted() -> sitk.Image:
    built = segmentation()
    built.SetOrigin([x + 1e-3 for x in built.GetOrigin()])
    return built


def stretched() -> sitk.Image:
    built = segmentation()
    built.SetSpacing([0.75, 0.75, 2.5001])
    return built


def turned() -> sitk.Image:
    built = segmentation()
    built.SetDirection([1, 0, 0, 0, 1, 0, 0, 0, 1])
    return built


@pytest.mark.parametrize(
    ("built", "said"),
    [
        (shifted(), "does not lie on its image: origin"),
        (stretched(), "does not lie on its image: spacing"),
        (turned(), "does not lie on its image: direction"),
        (segmentation(size=(12, 10, 9)), "does not lie on its image: size"),
        (segmentation((1, 5)), r"values without a label: \[5\]"),
        (image(), "not unsigned"),
        (sitk.Compose([segmentation()] * 2), "2 values per voxel"),
    ],
)
def test_a_segmentation_that_does_not_fit_is_refused(
    tmp_path: Path, built: sitk.Image, said: str
) -> None:
    result = staged(tmp_path, built=built)

    with pytest.raises(ResultRefused, match=said):
        check_results(result.folder, result.segmentation)


def _without_image(result: Staged) -> None:
    (result.folder / MAIN.file_name).unlink()


def _with_second_workspace(result: Staged) -> None:
    (result.folder / "other.itksnap").write_bytes(b"<registry></registry>")


def _without_workspace(result: Staged) -> None:
    (result.folder / "ticket_00000042_results.itksnap").unlink()


def _with_stray_file(result: Staged) -> None:
    (result.folder / ".half.part").write_bytes(b"")


def _with_cut_workspace(result: Staged) -> None:
    path = result.folder / "ticket_00000042_results.itksnap"
    path.write_bytes(path.read_bytes()[:-20])


def _with_other_location(result: Staged) -> None:
    path = result.folder / "ticket_00000042_results.itksnap"
    path.write_bytes(path.read_bytes().replace(b"/dss/tickets", b"/tmp", 1))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_without_image, "of a layer is missing"),
        (_with_second_workspace, "2 workspaces"),
        (_without_workspace, "0 workspaces"),
        (_with_stray_file, "no layer names the file '.half.part'"),
        (_with_cut_workspace, "not readable XML"),
        (_with_other_location, "outside of its SaveLocation"),
    ],
)
def test_a_folder_that_itksnap_could_not_load_is_refused(
    tmp_path: Path, spoil: Callable[[Staged], None], said: str
) -> None:
    result = staged(tmp_path)
    spoil(result)

    with pytest.raises(TicketError, match=said):
        check_results(result.folder, result.segmentation)


def test_a_segmentation_that_is_no_layer_is_refused(tmp_path: Path) -> None:
    result = staged(tmp_path)

    with pytest.raises(ResultRefused, match="not a layer"):
        check_results(result.folder, MAIN.file_name)


def test_the_layers_of_the_result_are_in_itksnaps_order(tmp_path: Path) -> None:
    layers = ws.layers(workspace_of(staged(tmp_path)))

    assert [layer.role for layer in layers] == ["MainRole", "SegmentationRole"]
