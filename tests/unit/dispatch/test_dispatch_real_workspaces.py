"""What ITK-SNAP itself has written comes through unharmed, and without its author's paths."""

import re
from pathlib import Path

import pytest

from dss_dispatch.result.gate import check_results
from dss_dispatch.result.staging import Segmentation, stage
from dss_dispatch.service import service_from
from dss_dispatch.submission.reading import read_submission
from dss_workspace import layers as ws
from dss_workspace.label_table import label_table
from dss_workspace.meshes import mesh_file_names, remove_incomplete_meshes
from dss_workspace.paths import move, remove_histories
from dss_workspace.registry import Folder, parse, serialize
from support.builders import LUNGS, MAIN, image, segmentation, service_json, write_image

pytestmark = pytest.mark.shared_data

WRITTEN_BY_ITKSNAP = (
    "MRIcrop-with-mesh",
    "diffspace",
    "echo_cartesian_loading",
    "img4d_11f",
    "img4d_11f_volren",
    "mesh_workspace",
    "segmentation_mesh",
    "tensor",
    "ultrasound_ws4d",
    "warpfield",
)
WRITTEN_BY_ITKSNAP_WT = (
    "itksnap-wt_local_workspace",
    "itksnap-wt_uploaded_ticket",
    "itksnap-wt_results",
)


def read(shared_data: Path, name: str) -> bytes:
    return (shared_data / "itksnap" / f"{name}.itksnap").read_bytes()


@pytest.mark.parametrize("name", WRITTEN_BY_ITKSNAP)
def test_a_workspace_of_itksnap_is_written_as_it_was_to_the_byte(
    shared_data: Path, name: str
) -> None:
    data = read(shared_data, name)

    assert serialize(parse(data)) == data


@pytest.mark.parametrize("name", WRITTEN_BY_ITKSNAP_WT)
def test_a_workspace_of_itksnap_wt_gains_only_the_comment(shared_data: Path, name: str) -> None:
    data = read(shared_data, name)

    written = re.sub(rb"<!--.*?-->\n", b"", serialize(parse(data)), flags=re.DOTALL)

    assert written == data


@pytest.mark.parametrize("name", WRITTEN_BY_ITKSNAP + WRITTEN_BY_ITKSNAP_WT)
def test_the_main_image_comes_first(shared_data: Path, name: str) -> None:
    layers = ws.layers(parse(read(shared_data, name)))

    assert [layer.role for layer in layers].index("MainRole") == 0


@pytest.mark.parametrize("name", WRITTEN_BY_ITKSNAP)
def test_nothing_tells_where_the_author_kept_his_files(shared_data: Path, name: str) -> None:
    workspace = parse(read(shared_data, name))

    remove_incomplete_meshes(workspace, lambda _: False)
    remove_histories(workspace)
    move(workspace, "/dss/tickets/00000042")

    values = [value for folder in workspace.walk() for value in folder.entries.values()]
    assert not [v for v in values if "/" in v and not v.startswith("/dss/tickets/00000042")]


def test_meshes_that_were_not_uploaded_are_dropped(shared_data: Path) -> None:
    workspace = parse(read(shared_data, "MRIcrop-with-mesh"))

    dropped = remove_incomplete_meshes(workspace, lambda _: False)

    assert (dropped, workspace.find("MeshLayers")) == (1, None)


def test_a_mesh_whose_files_are_all_there_stays(shared_data: Path) -> None:
    workspace = parse(read(shared_data, "mesh_workspace"))
    names = {f"external_mesh_f{i}.vtp" for i in (1, 2, 3)}

    dropped = remove_incomplete_meshes(workspace, names.__contains__)

    assert (dropped, set(mesh_file_names(workspace))) == (0, names)


def test_the_labels_that_itksnap_begins_with_are_read(shared_data: Path) -> None:
    table = label_table(parse(read(shared_data, "MRIcrop-with-mesh")))

    assert list(table) == [1, 2, 3, 4, 5, 6]
    assert isinstance(table[1], Folder)
    assert table[1].get("Color") == "255 0 0"


def test_the_workspace_that_the_real_client_uploaded_becomes_a_result(
    shared_data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "input"
    folder.mkdir()
    (folder / "t.itksnap").write_bytes(read(shared_data, "itksnap-wt_uploaded_ticket"))
    write_image(folder / MAIN.file_name, image())
    segmented = write_image(tmp_path / "lungs.nii.gz", segmentation())
    tag = {"name": "MRI", "type": "MainImage", "required": True}
    served = {"tag": "MRI", "bundle": "b", "segmentation": "S"}
    submission = read_submission(folder, service_from(service_json(tags=[tag], dispatch=served)))

    found = Segmentation(path=segmented, nickname="S", labels=LUNGS)
    staged = stage(42, submission, found, tmp_path / "results")

    assert len(check_results(staged.folder, staged.segmentation)) == 3
