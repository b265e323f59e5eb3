# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""What is uploaded: an image, several with tags, or a workspace with all its layers."""

from pathlib import Path

import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_client.errors import ImageUnreadable, ServiceUnfit
from dss_client.records import ServiceDetail, Tag
from dss_submission.preparing import Source, prepare
from dss_workspace.label_table import label_table
from dss_workspace.landmarks import Landmark, add_landmarks, landmarks_tagged
from dss_workspace.layers import layers
from dss_workspace.meshes import add_mesh, mesh_file_names
from dss_workspace.registry import read, serialize
from dss_workspace.time_points import tag_time_point, time_point_names
from support.builders import (
    LayerSpec,
    WorkspaceSpec,
    image,
    segmentation,
    workspace_xml,
    write_image,
)
from support.watchers import Quiet

CT = Tag(name="CT", type="MainImage", required=True)
PET = Tag(name="PET", type="OverlayImage", required=True)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_further_images_become_overlays_with_their_tags(home: Path, out: Path) -> None:
    main = write_image(home / "ct.nrrd", image())
    pet = write_image(home / "pet.nii.gz", image())
    source = Source(path=main, tagged={"PET": pet})

    path = prepare(source, ServiceDetail(tags=(CT, PET)), out, Quiet())(7)

    found = layers(read(path))
    assert [(layer.role, layer.tags) for layer in found] == [
        ("MainRole", ("CT",)),
        ("OverlayRole", ("PET",)),
    ]
    assert all((out / layer.file_name).is_file() for layer in found)


def test_a_missing_tag_is_told_with_how_to_give_it(home: Path, out: Path) -> None:
    main = write_image(home / "ct.nii.gz", image())

    with pytest.raises(ServiceUnfit, match="--tag PET=FILE"):
        prepare(Source(path=main), ServiceDetail(tags=(CT, PET)), out, Quiet())


def workspace(home: Path, **changes: object) -> Path:
    """A main image, an overlay with a tag, and a segmentation with labels."""
    write_image(home / "ct.nii.gz", image())
    write_image(home / "pet.nii.gz", image())
    write_image(home / "mine.nii.gz", segmentation())
    specs = (
        LayerSpec(file_name="ct.nii.gz", folder=str(home), tags=""),
        LayerSpec(file_name="pet.nii.gz", folder=str(home), tags="PET", role="OverlayRole"),
        LayerSpec(file_name="mine.nii.gz", folder=str(home), tags="", role="SegmentationRole"),
    )
    path = home / "case.itksnap"
    path.write_bytes(workspace_xml(WorkspaceSpec(layers=specs, labels={1: "tumour", 2: "node"})))
    return path


def test_a_workspace_is_sent_with_all_its_layers_and_labels(home: Path, out: Path) -> None:
    path = prepare(Source(path=workspace(home)), ServiceDetail(tags=(CT, PET)), out, Quiet())(9)

    root = read(path)
    found = layers(root)
    assert path.name == "ticket_00000009.itksnap"
    assert [layer.tags for layer in found] == [("CT",), ("PET",), ()]
    assert {v: e.get("Label") for v, e in label_table(root).items()} == {1: "tumour", 2: "node"}
    sent = sitk.ReadImage(str(out / found[2].file_name))
    assert (sitk.GetArrayFromImage(sent) == sitk.GetArrayFromImage(segmentation())).all()
    assert str(home) not in path.read_text(encoding="utf-8")


def test_required_landmarks_and_time_points_of_a_workspace_count(home: Path, out: Path) -> None:
    """A tag of either is an object of the workspace, and not of an image layer."""
    tip = Tag(name="Tip", type="PointLandmark", required=True)
    phase = Tag(name="Phase", type="TimePoint", required=True)
    path = workspace(home)
    root = read(path)
    add_landmarks(root, [Landmark(text="Tip", index=(1.0, 2.0, 3.0), rgb=(1, 2, 3))])
    tag_time_point(root, 1, "Phase", 2)
    plain = path.read_bytes()
    path.write_bytes(serialize(root))
    detail = ServiceDetail(tags=(CT, PET, tip, phase))

    written = read(prepare(Source(path=path), detail, out, Quiet())(9))
    path.write_bytes(plain)

    assert landmarks_tagged(written, "Tip") == [(1.5, 2.5, 3.5)]
    assert time_point_names(written) == {"Phase"}
    with pytest.raises(ServiceUnfit, match="needs 'Tip'"):
        prepare(Source(path=path), detail, out, Quiet())


def test_a_workspace_that_has_moved_with_its_files_is_found(home: Path, out: Path) -> None:
    workspace(home)
    moved = home.rename(home.with_name("elsewhere"))

    path = prepare(
        Source(path=moved / "case.itksnap"), ServiceDetail(tags=(CT, PET)), out, Quiet()
    )(9)

    assert len(layers(read(path))) == 3


def test_a_file_that_is_not_there_is_named(home: Path, out: Path) -> None:
    path = workspace(home)
    (home / "pet.nii.gz").unlink()

    with pytest.raises(
        ImageUnreadable, match=r"case\.itksnap names pet\.nii\.gz, which is neither"
    ):
        prepare(Source(path=path), ServiceDetail(tags=(CT, PET)), out, Quiet())


def test_what_is_no_workspace_is_refused(home: Path, out: Path) -> None:
    (home / "x.itksnap").write_text("hello", encoding="utf-8")

    with pytest.raises(ImageUnreadable, match="workspace"):
        prepare(Source(path=home / "x.itksnap"), ServiceDetail(tags=(CT,)), out, Quiet())


@pytest.mark.parametrize(
    ("tagged", "sentence"),
    [
        ({"MRI": "pet.nii.gz"}, "The service has no tag 'MRI'; it has CT, PET."),
        ({"PET": "absent.nii"}, "There is no file"),
    ],
)
def test_a_wrong_tag_is_told_before_an_image_is_read(
    home: Path, out: Path, tagged: dict[str, str], sentence: str
) -> None:
    write_image(home / "pet.nii.gz", image())
    source = Source(path=home / "x.nii", tagged={tag: home / name for tag, name in tagged.items()})

    with pytest.raises((ImageUnreadable, ServiceUnfit), match=sentence):
        prepare(source, ServiceDetail(tags=(CT, PET)), out, Quiet())


@pytest.mark.parametrize("given", [{"series": "3"}, {"tagged": {"PET": Path(__file__)}}])
def test_what_would_be_ignored_beside_a_workspace_is_told(
    home: Path, out: Path, given: dict[str, object]
) -> None:
    source = Source(path=home / "x.itksnap", **given)  # type: ignore[arg-type]  # one of its fields

    with pytest.raises(ImageUnreadable, match="has images and tags of its own"):
        prepare(source, ServiceDetail(tags=(CT, PET)), out, Quiet())


def test_nothing_that_is_sent_tells_the_name_of_the_file(home: Path, out: Path) -> None:
    source = Source(path=write_image(home / "MUELLER.nii.gz", image()))

    path = prepare(source, ServiceDetail(tags=(CT,)), out, Quiet())(7)

    assert "MUELLER" not in path.read_text(encoding="utf-8")


def test_layers_of_equal_voxels_keep_their_own_grids(home: Path, out: Path) -> None:
    main, other = image(), image()
    other.SetOrigin((7.0, 8.0, 9.0))
    pet = write_image(home / "pet.nii.gz", other)
    source = Source(path=write_image(home / "ct.nii.gz", main), tagged={"PET": pet})

    path = prepare(source, ServiceDetail(tags=(CT, PET)), out, Quiet())(7)

    origins = [
        sitk.ReadImage(str(out / layer.file_name)).GetOrigin() for layer in layers(read(path))
    ]
    assert origins[0] == pytest.approx(main.GetOrigin())
    assert origins[1] == pytest.approx((7.0, 8.0, 9.0))


def test_meshes_of_one_file_name_keep_their_own_files(home: Path, out: Path) -> None:
    path = workspace(home)
    root = read(path)
    for place in ("left", "right", "absent"):
        add_mesh(root, str(home / place / "lung.vtk"), place, (255, 0, 0))
        if place != "absent":
            (home / place).mkdir()
            (home / place / "lung.vtk").write_text(place, encoding="utf-8")
    path.write_bytes(serialize(root))

    sent = prepare(Source(path=path), ServiceDetail(tags=(CT, PET)), out, Quiet())(9)

    names = mesh_file_names(read(sent))
    assert [(out / name).read_text(encoding="utf-8") for name in names] == ["left", "right"]
