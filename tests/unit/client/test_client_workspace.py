"""The workspace that goes out and the one that comes back."""

import re
from pathlib import Path

import pytest

from dss_client.errors import NotUnderstood
from dss_client.volumes import LabelVolume, measure
from dss_client.workspace import DownloadedResults, read_outcome
from dss_submission.errors import ImageUnreadable
from dss_submission.layer import Layer
from dss_submission.preparing import workspace_files
from dss_submission.workspace import write_workspace
from support.builders import (
    LayerSpec,
    WorkspaceSpec,
    image,
    segmentation,
    workspace_xml,
    write_image,
)

LUNGS = LayerSpec(role="SegmentationRole", file_name="layer_001_lungs.nii.gz")
SPEC = WorkspaceSpec(layers=(LayerSpec(), LUNGS), labels={1: "left lung", 2: "right lung"})


def layer(folder: Path) -> Layer:
    name = "layer_000_111737d6f9a6e678718fef819ecc5c8e.nii.gz"
    return Layer(path=folder / name, size=(12, 10, 8))


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A result, downloaded to another folder than its own."""
    write_image(tmp_path / LUNGS.file_name, segmentation((1, 2, 2, 9)))
    path = tmp_path / "ticket_00000001_results.itksnap"
    path.write_bytes(workspace_xml(SPEC))
    return path


@pytest.mark.shared_data
def test_the_workspace_is_that_of_the_real_client_but_for_the_nickname(
    tmp_path: Path, shared_data: Path
) -> None:
    recorded = (shared_data / "itksnap" / "itksnap-wt_uploaded_ticket.itksnap").read_text(
        encoding="utf-8"
    )
    nickname = r' *<folder key="LayerMetaData" >\n.*\n *</folder>\n'

    written = write_workspace(1, layer(tmp_path), ["MRI"]).read_text(encoding="utf-8")

    assert written.replace(str(tmp_path), "/client/tmp/alfabis_x62lS8") == re.sub(
        nickname, "", recorded
    )


def test_the_workspace_is_named_after_the_ticket(tmp_path: Path) -> None:
    assert write_workspace(42, layer(tmp_path), []).name == "ticket_00000042.itksnap"


def test_a_folder_with_special_characters_is_written_as_xml(tmp_path: Path) -> None:
    folder = tmp_path / 'a "b" & <c>'
    folder.mkdir()

    text = write_workspace(1, layer(folder), ["CT"]).read_text(encoding="utf-8")

    assert "&amp; &lt;c&gt;" in text


def test_segmentations_are_found_beside_the_workspace(workspace: Path) -> None:
    outcome = read_outcome(workspace)

    assert outcome.segmentations == (workspace.parent / LUNGS.file_name,)
    assert outcome.labels == {1: "left lung", 2: "right lung"}


def test_a_segmentation_that_was_not_downloaded_is_told(workspace: Path) -> None:
    (workspace.parent / LUNGS.file_name).unlink()

    with pytest.raises(NotUnderstood, match="was not downloaded"):
        read_outcome(workspace)


@pytest.mark.parametrize(
    "text", ["no xml", '<!DOCTYPE registry [<!ENTITY a "b">]><registry></registry>']
)
def test_what_is_no_workspace_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.itksnap").write_text(text, encoding="utf-8")

    with pytest.raises(NotUnderstood, match="cannot be read"):
        read_outcome(tmp_path / "a.itksnap")


def test_labels_are_measured_in_millilitres_and_named_by_the_table(workspace: Path) -> None:
    voxel_ml = 0.75 * 0.75 * 2.5 / 1000

    assert measure(read_outcome(workspace)) == [
        LabelVolume(value=1, name="left lung", volume_ml=round(voxel_ml, 3)),
        LabelVolume(value=2, name="right lung", volume_ml=round(2 * voxel_ml, 3)),
        LabelVolume(value=9, name="Label 9", volume_ml=round(voxel_ml, 3)),
    ]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("Mine", "Theirs"), ("Mine", "Theirs")),
        (("Lungs", "Lungs"), ("segmentation 1", "segmentation 2")),
        ((), ("segmentation 1", "segmentation 2")),
    ],
)
def test_a_label_in_two_segmentations_is_not_added_up(
    tmp_path: Path, names: tuple[str, ...], told: tuple[str, ...]
) -> None:
    """A user who sends a result again has the label of old and the one of now."""
    paths = [tmp_path / "one.nii.gz", tmp_path / "two.nii.gz"]
    for path, values in zip(paths, ((1, 1, 1), (1, 2)), strict=True):
        write_image(path, segmentation(values))
    voxel_ml = 0.75 * 0.75 * 2.5 / 1000
    labels = {1: "left lung", 2: "right lung"}

    found = measure(DownloadedResults(segmentations=tuple(paths), labels=labels, names=names))

    assert [(n.called, n.volume_ml) for n in found] == [
        (f"left lung (in {told[0]})", round(3 * voxel_ml, 3)),
        (f"left lung (in {told[1]})", round(voxel_ml, 3)),
        ("right lung", round(voxel_ml, 3)),
    ]


def test_an_empty_segmentation_has_no_labels(tmp_path: Path) -> None:
    path = write_image(tmp_path / "empty.nii.gz", segmentation(()))

    assert measure(DownloadedResults(segmentations=(path,), labels={1: "left lung"})) == []


def test_the_main_image_is_no_segmentation(tmp_path: Path) -> None:
    write_image(tmp_path / LayerSpec().file_name, image())
    path = tmp_path / "a.itksnap"
    path.write_bytes(workspace_xml(WorkspaceSpec()))

    assert read_outcome(path).segmentations == ()


@pytest.mark.parametrize(
    ("folders", "is_refused"), [(("/gone/a", "/gone/b"), True), (("/gone/a", "/gone/a"), False)]
)
def test_a_file_beside_a_workspace_is_not_taken_for_two_of_other_folders(
    tmp_path: Path, folders: tuple[str, str], is_refused: bool
) -> None:
    roles = ("MainRole", "OverlayRole")
    layers = tuple(
        LayerSpec(role=role, file_name="ct.nii.gz", folder=folder)
        for role, folder in zip(roles, folders, strict=True)
    )
    beside = write_image(tmp_path / "ct.nii.gz", image())
    path = tmp_path / "a.itksnap"
    path.write_bytes(workspace_xml(WorkspaceSpec(layers=layers)))

    if not is_refused:
        assert workspace_files(path) == [beside, beside]
        return
    with pytest.raises(
        ImageUnreadable, match=r"the name ct\.nii\.gz in different folders, and only"
    ):
        workspace_files(path)
