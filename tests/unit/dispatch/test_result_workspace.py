"""One way to build the workspace of a result, for dispatchers and for providers."""

import time

from dss_images.default_colours import default_colour
from dss_provider.results import Style
from dss_workspace.label_table import label_table
from dss_workspace.landmarks import Landmark
from dss_workspace.layers import layers
from dss_workspace.meshes import mesh_file_names
from dss_workspace.registry import Folder, parse
from dss_workspace.result import Finished, ResultWorkspace, content_name
from support.builders import LayerSpec, WorkspaceSpec, workspace_xml


def sent(**labels: str) -> Folder:
    spec = WorkspaceSpec(
        layers=(LayerSpec(tags="CT", file_name="ct.nii.gz"),),
        labels={int(value[1:]): name for value, name in labels.items()},
    )
    return parse(workspace_xml(spec))


def style(value: int, name: str) -> Style:
    return Style(value=value, name=name, rgb=(1, 2, 3))


def finished(result: ResultWorkspace) -> Finished:
    return result.finish(7, (3, 4, 5), lambda _: True)


def test_segmentations_share_a_table_and_get_values_of_their_own() -> None:
    result = ResultWorkspace(sent(v1="tumour"), {1}, default_colour)
    for name in ("Left", "Right"):
        places = result.place([style(1, name)])
        result.add_segmentation(f"{name}.nii.gz", name, [style(1, name)], places)

    found = finished(result)

    workspace = parse(found.content)
    names = {v: e.get("Label") for v, e in label_table(workspace).items()}
    assert names == {1: "tumour", 2: "Left", 3: "Right"}
    assert [layer.nickname for layer in layers(workspace)][1:] == ["Left", "Right"]
    assert "The label 'Left' has the value 2, since the workspace has another label 1." in (
        found.remarks
    )
    assert found.sent == ("ct.nii.gz",)


def test_a_mesh_is_a_layer_that_itk_snap_loads() -> None:
    result = ResultWorkspace(sent(), (), default_colour)
    result.add_mesh("a.vtk", "Hull", (255, 0, 51))
    result.add_mesh("b.vtp", "Core", (0, 0, 0))

    workspace = parse(finished(result).content)

    first, second = (workspace.find(f"MeshLayers.Layer[00{i}]") or Folder() for i in (0, 1))
    assert first.get("MeshType") == "StandaloneMesh"
    assert (first.get("NickName"), first.get("SolidColor")) == ("Hull", "1 0 0.2")
    data = first.find("MeshTimePoints.TimePoint[001].PolyData[000]") or Folder()
    assert data.entries == {
        "AbsolutePath": "/dss/tickets/00000007/a.vtk",
        "Format": "VTK Mesh",
    }
    assert second.get("MeshTimePoints.TimePoint[001].PolyData[000].Format") == "VTP Mesh"
    assert mesh_file_names(workspace) == ("a.vtk", "b.vtp")


def test_the_workspace_that_was_sent_stays_as_it_is() -> None:
    before = sent(v1="tumour")
    result = ResultWorkspace(before, (), default_colour)
    result.add_overlay("p.nii.gz", "Probability")
    result.add_landmarks([Landmark(text="tip", index=(1, 2, 3), rgb=(9, 9, 9))])
    finished(result)

    assert before == sent(v1="tumour")


def test_as_many_labels_as_there_can_be_are_placed_in_seconds() -> None:
    begun = time.process_time()
    result = ResultWorkspace(sent(), (), default_colour)
    labels = [style(value, f"Cell {value}") for value in range(1, 65536)]

    places = result.place(labels)

    assert places == {value: value for value in range(1, 65536)}
    assert time.process_time() - begun < 30


def test_a_name_says_kind_words_and_content() -> None:
    assert content_name("seg", "Left  lung!", "f" * 64, ".nii.gz") == (
        "seg_left_lung_" + "f" * 32 + ".nii.gz"
    )
    assert content_name("mesh", "腫瘍", "0" * 64, ".vtk").startswith("mesh_result_")
