# mypy: allow-untyped-calls
"""Whatever a user may send: either it can be worked on, or a sentence says why not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_dispatch.errors import TicketError
from dss_dispatch.service import service_from
from dss_dispatch.submission.reading import Submission, read_submission
from dss_provider.errors import AlgorithmFailed
from dss_provider.results import TicketInput, open_input
from dss_workspace.layers import layers
from dss_workspace.registry import Folder, parse, serialize
from support.builders import (
    MAIN,
    LayerSpec,
    WorkspaceSpec,
    image,
    segmentation,
    service_json,
    submit,
    write_image,
)

OVERLAY = LayerSpec(role="OverlayRole", file_name="pet.nii.gz")
SEGMENTATION = LayerSpec(role="SegmentationRole", file_name="old.nii.gz")


def read(folder: Path, tag_type: str = "MainImage") -> Submission:
    tag = {"name": "CT", "type": tag_type, "required": True}
    return read_submission(folder, service_from(service_json(tags=[tag])))


def transform_xml(entries: dict[str, Any]) -> str:
    """The transformation of a layer as ITK-SNAP writes it."""
    folder = Folder()
    for key, value in entries.items():
        for inner, number in value.items() if isinstance(value, dict) else [("", value)]:
            folder.set(f"ImageTransform.{key}{'.' if inner else ''}{inner}", number)
    text = serialize(folder, is_project=False).decode()
    return text.partition("<registry>")[2].partition("</registry>")[0]


def test_the_tagged_layer_is_the_one_to_segment(tmp_path: Path) -> None:
    """The ancestors' fault 6: only the tagged layer is sent to inference."""
    folder = submit(tmp_path, spec=WorkspaceSpec(layers=(MAIN, SEGMENTATION)))

    submission = read(folder)

    assert submission.target.file_name == MAIN.file_name
    assert submission.image.size == (12, 10, 8)
    assert [layer.file_name for layer in submission.segmentations] == ["old.nii.gz"]


def test_an_overlay_in_the_main_images_grid_can_be_the_one(tmp_path: Path) -> None:
    tagged = LayerSpec(role="OverlayRole", file_name="pet.nii.gz", tags="CT")
    folder = submit(tmp_path, spec=WorkspaceSpec(layers=(LayerSpec(), tagged)))

    assert read(folder, "AnatomicalImage").target.file_name == "pet.nii.gz"


@pytest.mark.parametrize(
    ("entries", "is_refused"),
    [
        ({"IsIdentity": "0", "Offset": {"Element[1]": "12.5"}}, True),
        ({"IsIdentity": "0", "Matrix": {"Element[0][1]": "0.1"}}, True),
        ({"IsIdentity": "0", "Matrix": {"Element[2][2]": "-1"}}, True),
        ({"IsIdentity": "0", "Offset": {"Element[1]": "1e-9"}}, False),
        ({"IsIdentity": "1", "Offset": {"Element[1]": "12.5"}}, False),
        ({}, False),
    ],
)
def test_an_overlay_that_the_user_has_registered_is_not_segmented(
    tmp_path: Path, entries: dict[str, Any], is_refused: bool
) -> None:
    """ITK-SNAP shows it elsewhere than its file says, and the segmentation would lie where the file says."""
    tagged = replace(OVERLAY, tags="CT", inside=transform_xml(entries))
    folder = submit(tmp_path, spec=WorkspaceSpec(layers=(LayerSpec(), tagged)))
    workspace = next(folder.glob("*.itksnap"))
    given = TicketInput(
        folder=folder,
        workspace=parse(workspace.read_bytes()),
        layers=layers(parse(workspace.read_bytes())),
    )

    if not is_refused:
        assert read(folder, "AnatomicalImage").target.file_name == OVERLAY.file_name
        assert given.tagged("CT").name == OVERLAY.file_name
        return
    with pytest.raises(TicketError, match=r"'pet\.nii\.gz' is registered"):
        read(folder, "AnatomicalImage")
    with pytest.raises(AlgorithmFailed, match=r"'pet\.nii\.gz' is registered"):
        given.tagged("CT")


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ((LayerSpec(),), "no layer tagged 'CT'.*-tags-add"),
        ((LayerSpec(tags="ct"),), "no layer tagged 'CT'"),
        ((MAIN, LayerSpec(role="OverlayRole", file_name="b.nii.gz", tags="CT")), "2 layers"),
        (
            (LayerSpec(), LayerSpec(role="OverlayRole", file_name="b.nii.gz", tags="CT")),
            "role OverlayRole, but is for a MainImage",
        ),
    ],
)
def test_the_tag_must_be_on_exactly_one_fitting_layer(
    tmp_path: Path, layers: tuple[LayerSpec, ...], said: str
) -> None:
    with pytest.raises(TicketError, match=said):
        read(submit(tmp_path, spec=WorkspaceSpec(layers=layers)))


@pytest.mark.parametrize(
    ("folders", "is_refused"),
    [
        (("/a", "/b"), True),
        (("C:\\scans\\a", "C:\\scans\\b"), True),
        (("/client/tmp/alfabis_x62lS8", "/client/tmp/alfabis_x62lS8/old"), True),
        (("/a", "/a"), False),
        (("/client/tmp/alfabis_x62lS8", "."), False),
    ],
)
def test_two_files_of_one_name_are_not_taken_for_one_another(
    tmp_path: Path, folders: tuple[str, str], is_refused: bool
) -> None:
    one, other = (
        replace(layer, file_name="ct.nii.gz", folder=path)
        for layer, path in zip((MAIN, OVERLAY), folders, strict=True)
    )
    folder = submit(tmp_path, spec=WorkspaceSpec(layers=(one, other)))

    if not is_refused:
        assert read(folder).target.file_name == "ct.nii.gz"
        assert len(open_input(folder).layers) == 2
        return
    with pytest.raises(TicketError, match=r"Two layers .* 'ct\.nii\.gz' in different folders"):
        read(folder)
    with pytest.raises(AlgorithmFailed, match=r"Two layers .* 'ct\.nii\.gz' in different folders"):
        open_input(folder)


def _no_workspace(folder: Path) -> None:
    (folder / "ticket_00000042.itksnap").unlink()


def _two_workspaces(folder: Path) -> None:
    (folder / "second.ITKSNAP").write_bytes(b"<registry></registry>")


def _broken_workspace(folder: Path) -> None:
    (folder / "ticket_00000042.itksnap").write_bytes(b"<registry>")


def _huge_workspace(folder: Path) -> None:
    with (folder / "ticket_00000042.itksnap").open("r+b") as file:
        file.truncate(17 * 2**20)


def _linked_workspace(folder: Path) -> None:
    workspace = folder / "ticket_00000042.itksnap"
    workspace.rename(folder.parent / "elsewhere")
    workspace.symlink_to(folder.parent / "elsewhere")


def _no_image(folder: Path) -> None:
    (folder / MAIN.file_name).unlink()


def _linked_image(folder: Path) -> None:
    _no_image(folder)
    (folder / MAIN.file_name).symlink_to("/etc/passwd")


def _folder_for_image(folder: Path) -> None:
    _no_image(folder)
    (folder / MAIN.file_name).mkdir()


def _text_for_image(folder: Path) -> None:
    (folder / MAIN.file_name).write_text("hello", encoding="utf-8")


def _four_dimensions(folder: Path) -> None:
    write_image(folder / MAIN.file_name, image((12, 10, 8, 3)))


def _two_dimensions(folder: Path) -> None:
    write_image(folder / MAIN.file_name, image((12, 10)))


def _colours(folder: Path) -> None:
    write_image(folder / MAIN.file_name, sitk.Compose([image()] * 3))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_no_workspace, "has no workspace"),
        (_two_workspaces, "has 2 workspaces"),
        (_broken_workspace, "not readable XML"),
        (_huge_workspace, "larger than 16 MB"),
        (_linked_workspace, "not a plain file"),
        (_no_image, "was not uploaded"),
        (_linked_image, "was not uploaded"),
        (_folder_for_image, "was not uploaded"),
        (_text_for_image, "The file is not an? [A-Za-z]+ file, whatever its name says"),
        (_four_dimensions, r"The image has 4 dimensions; this service needs 3\."),
        (_two_dimensions, r"The image has 2 dimensions; a volume has 3,"),
        (_colours, "3 values in each voxel"),
    ],
)
def test_bad_input_is_refused_with_a_sentence_and_without_a_path(
    tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    folder = submit(tmp_path)
    spoil(folder)

    with pytest.raises(TicketError, match=said) as refused:
        read(folder)

    assert str(tmp_path) not in str(refused.value)


def test_a_ticket_without_any_file_is_refused(tmp_path: Path) -> None:
    """The ancestors' fault 6."""
    with pytest.raises(TicketError, match="no workspace"):
        read(tmp_path / "never-made")


def test_a_file_of_any_layer_must_be_there_since_itksnap_loads_all_or_none(
    tmp_path: Path,
) -> None:
    folder = submit(tmp_path, spec=WorkspaceSpec(layers=(MAIN, OVERLAY)))
    (folder / "pet.nii.gz").unlink()

    with pytest.raises(TicketError, match=r"'pet\.nii\.gz' .* was not uploaded"):
        read(folder)


def test_a_path_that_leads_out_of_the_ticket_is_looked_up_by_its_last_part(tmp_path: Path) -> None:
    (tmp_path / "secret.nii.gz").write_bytes(b"another patient")
    layer = LayerSpec(folder="../../..", file_name="secret.nii.gz", tags="CT")
    folder = submit(tmp_path, spec=WorkspaceSpec(layers=(layer,)))
    (folder / "secret.nii.gz").unlink()

    with pytest.raises(TicketError, match="was not uploaded"):
        read(folder)


def test_a_tagged_overlay_in_another_grid_is_refused_before_the_work(tmp_path: Path) -> None:
    tagged = LayerSpec(role="OverlayRole", file_name="pet.nii.gz", tags="CT")
    folder = submit(tmp_path, spec=WorkspaceSpec(layers=(LayerSpec(), tagged)))
    write_image(folder / "pet.nii.gz", image((5, 5, 5)))

    with pytest.raises(TicketError, match="grid of the main image"):
        read(folder, "AnatomicalImage")


@pytest.mark.parametrize(
    ("built", "said"),
    [
        (
            segmentation(size=(12, 10, 9)),
            "has 12 x 10 x 9 voxels, but the main image has 12 x 10 x 8",
        ),
        (sitk.Compose([segmentation()] * 2), "has 2 values in each voxel; a segmentation has 1"),
    ],
)
def test_a_segmentation_of_the_users_that_itksnap_could_not_load_is_blamed_before_the_work(
    tmp_path: Path, built: sitk.Image, said: str
) -> None:
    folder = submit(tmp_path, spec=WorkspaceSpec(layers=(MAIN, SEGMENTATION)))
    write_image(folder / SEGMENTATION.file_name, built)

    with pytest.raises(TicketError, match=f"^Your own segmentation 'old.nii.gz' {said}"):
        read(folder)


def test_a_segmentation_is_called_as_its_user_knows_it(tmp_path: Path) -> None:
    folder = submit(tmp_path, spec=WorkspaceSpec(layers=(MAIN, SEGMENTATION)))
    write_image(folder / SEGMENTATION.file_name, segmentation(size=(12, 10, 9)))
    file = folder / "ticket_00000042.itksnap"
    nickname = (
        b'<folder key="LayerMetaData" ><entry key="CustomNickName" value="Tumour" /></folder>'
    )
    before, _, after = file.read_bytes().partition(b'<folder key="Layer[001]" >')
    file.write_bytes(before + b'<folder key="Layer[001]" >' + nickname + after)

    with pytest.raises(TicketError, match=r"^Your own segmentation 'Tumour' \(old.nii.gz\) has"):
        read(folder)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("scan 10:42.nii.gz", "store the file 'scan 10:42.nii.gz': it has the character :"),
        ("OLD.nii.gz", "'OLD.nii.gz' and 'old.nii.gz' are the same file on some systems"),
    ],
)
def test_a_name_that_the_result_could_not_bear_is_refused_before_the_work(
    tmp_path: Path, name: str, said: str
) -> None:
    odd = LayerSpec(role="OverlayRole", file_name=name)

    with pytest.raises(TicketError, match=said):
        read(submit(tmp_path, spec=WorkspaceSpec(layers=(MAIN, SEGMENTATION, odd))))
