import pytest

from dss_workspace import layers as ws
from dss_workspace import paths
from dss_workspace.errors import WorkspaceInvalid
from dss_workspace.registry import parse
from support.builders import MAIN, LayerSpec, WorkspaceSpec, workspace_xml

OVERLAY = LayerSpec(role="OverlayRole", file_name="pet.nii.gz")


def test_tags_may_be_parted_by_commas_and_blanks() -> None:
    spec = WorkspaceSpec(layers=(LayerSpec(tags=" CT, chest ,,"),))

    assert ws.layers(parse(workspace_xml(spec)))[0].tags == ("CT", "chest")


@pytest.mark.parametrize(
    "folder", ["C:\\Users\\Jane\\Temp", "C:/Temp", "/tmp/x", "../..", "a/../b"]
)
def test_only_the_last_part_of_a_path_counts(folder: str) -> None:
    spec = WorkspaceSpec(layers=(LayerSpec(folder=folder, file_name="ct.nii.gz"),))

    assert ws.layers(parse(workspace_xml(spec)))[0].file_name == "ct.nii.gz"


@pytest.mark.parametrize("name", ["", "..", "."])
def test_a_layer_needs_a_file_name(name: str) -> None:
    spec = WorkspaceSpec(layers=(LayerSpec(folder="", file_name=name),))

    with pytest.raises(WorkspaceInvalid, match="without a file name"):
        ws.layers(parse(workspace_xml(spec)))


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ((), "no image layer"),
        ((OVERLAY,), "main image"),
        ((MAIN, MAIN), "main image"),
        ((OVERLAY, MAIN), "main image"),
    ],
)
def test_a_workspace_that_itksnap_could_not_open_is_refused(
    layers: tuple[LayerSpec, ...], said: str
) -> None:
    with pytest.raises(WorkspaceInvalid, match=said):
        ws.layers(parse(workspace_xml(WorkspaceSpec(layers=layers))))


def test_a_gap_in_the_numbers_of_the_layers_is_refused() -> None:
    workspace = parse(workspace_xml(WorkspaceSpec(layers=(MAIN, OVERLAY))))
    layers = workspace.folders["Layers"].folders
    layers["Layer[002]"] = layers.pop("Layer[001]")

    with pytest.raises(WorkspaceInvalid, match="without gaps"):
        ws.layers(workspace)


def test_a_segmentation_becomes_the_next_layer() -> None:
    workspace = parse(workspace_xml(WorkspaceSpec(layers=(MAIN, OVERLAY))))

    ws.add_segmentation(workspace, "seg_lungs.nii.gz", "Lungs")

    added = ws.layers(workspace)[2]
    assert (added.key, added.role, added.file_name) == (
        "Layer[002]",
        "SegmentationRole",
        "seg_lungs.nii.gz",
    )
    assert workspace.get("Layers.Layer[002].LayerMetaData.CustomNickName") == "Lungs"


def test_moved_files_lie_where_itksnap_looks_for_them() -> None:
    workspace = parse(workspace_xml(WorkspaceSpec(layers=(MAIN, OVERLAY))))
    assert paths.has_uniform_folder(workspace)
    workspace.set("SaveLocation", "/elsewhere")
    assert not paths.has_uniform_folder(workspace)

    paths.move(workspace, "/dss/tickets/00000042")

    assert paths.has_uniform_folder(workspace)
    assert workspace.get("Layers.Layer[001].AbsolutePath") == "/dss/tickets/00000042/pet.nii.gz"


def test_a_wrong_size_of_the_main_image_is_corrected_lest_the_labels_are_dropped() -> None:
    workspace = parse(workspace_xml(WorkspaceSpec(dimensions="1 2 3")))

    ws.state_main_size(workspace, (12, 10, 8))

    path = "Layers.Layer[000].ProjectMetaData.Files.Grey.Dimensions"
    assert workspace.get(path) == "12 10 8"


def test_histories_of_opened_files_are_taken_out() -> None:
    workspace = parse(workspace_xml())

    paths.remove_histories(workspace)

    values = [value for folder in workspace.walk() for value in folder.entries.values()]
    assert not [value for value in values if "jane.doe" in value]
