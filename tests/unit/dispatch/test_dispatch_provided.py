# mypy: allow-untyped-calls
"""What a provider over HTTP returns passes if ITK-SNAP can load it and it lies on its image; else not."""

import gzip
import shutil
import struct
from pathlib import Path

import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_broker.codec import encode
from dss_broker.messages import ResultsAccepted
from dss_dispatch.errors import TicketError
from dss_dispatch.result import provider_results
from dss_dispatch.result.presentation import present
from dss_dispatch.result.provider_results import check_provider_results
from dss_workspace.landmarks import invalid_positions
from dss_workspace.registry import Folder
from support.builders import (
    MAIN,
    SEGMENTED,
    SIZE,
    LayerSpec,
    WorkspaceSpec,
    image,
    landmarks_xml,
    result_files,
    segmentation,
    submit,
    workspace_xml,
)
from support.provided_results import Files, judge, mesh, with_mesh, without

OWN = LayerSpec(role="SegmentationRole", file_name="own.nii.gz")


LAYERS_4D = (12, 10, 8, 3)


def typed(pixel: int, *values: float) -> sitk.Image:
    built = image(SIZE, pixel)
    for x, value in enumerate(values):
        built[x, 0, 0] = value
    return built


def shifted() -> sitk.Image:
    built = segmentation()
    built.SetOrigin((0.0, 0.0, 0.0))
    return built


def changed(before: str, after: str) -> Files:
    """A sound result, but for these words of its workspace."""
    files = result_files()
    assert before.encode() in files["result.itksnap"]
    return {
        **files,
        "result.itksnap": files["result.itksnap"].replace(before.encode(), after.encode()),
    }


GOOD = {
    "a segmentation on its image": result_files,
    "signed integers": lambda: result_files(segmented=typed(sitk.sitkInt16, 1, 2)),
    "wide integers": lambda: result_files(segmented=typed(sitk.sitkInt32, 1, 2)),
    "four dimensions": lambda: result_files(image(LAYERS_4D), segmentation(size=LAYERS_4D)),
    "no segmentation": lambda: result_files(layers=(MAIN,)),
    "a file that no layer names": lambda: {**result_files(), "report.txt": b"x"},
    "a mesh in the image": lambda: with_mesh(mesh()),
    "a path of Windows": lambda: {
        **result_files(),
        "result.itksnap": result_files()["result.itksnap"].replace(
            b"/client/tmp/alfabis_x62lS8/", b"/client/tmp/alfabis_x62lS8\\"
        ),
    },
}


@pytest.mark.parametrize("case", GOOD)
def test_a_sound_result_passes(tmp_path: Path, case: str) -> None:
    assert judge(tmp_path, GOOD[case]()) == ""


BAD = {
    "no workspace": (lambda: without("result.itksnap"), "and have none"),
    "two workspaces": (
        lambda: {**result_files(), "b.itksnap": b"x"},
        "and have 2: 'b.itksnap' 'result.itksnap'",
    ),
    "a hidden second one": (lambda: {**result_files(), "b.ITKSNAP": b"x"}, "and have 2"),
    "no xml": (lambda: {**result_files(), "result.itksnap": b"x"}, "not readable XML"),
    "no layer": (lambda: {**result_files(), "result.itksnap": b"<registry/>"}, "no image layer"),
    "a missing segmentation": (
        lambda: without(SEGMENTED.file_name),
        "names the file 'lungs.nii.gz', which was not uploaded",
    ),
    "a missing image": (lambda: without(MAIN.file_name), f"names the file '{MAIN.file_name}'"),
    "a mesh that is missing": (
        lambda: result_files(
            extra='<folder key="MeshLayers" ><folder key="Layer[000]" >'
            '<entry key="AbsolutePath" value="/x/heart.vtk" /></folder></folder>'
        ),
        "names the file 'heart.vtk'",
    ),
    "a mesh that is none": (
        lambda: with_mesh(b"solid stl"),
        "'hull.vtk' cannot be used. The file is no mesh that ITK-SNAP loads",
    ),
    "a mesh that is cut off": (lambda: with_mesh(mesh()[:100]), "damaged or incomplete"),
    "a mesh under another suffix": (
        lambda: with_mesh(mesh(), "hull.vtp"),
        "is a .vtk file but is named '.vtp'",
    ),
    "a mesh elsewhere": (lambda: with_mesh(mesh(flipped=True)), "change the sign of x and y"),
    "a landmark nowhere": (
        lambda: result_files(extra=landmarks_xml(("tip", "1 nan 3"))),
        "a landmark has no place in the image: '1 nan 3'",
    ),
    "a landmark beyond the count": (
        lambda: result_files(
            extra=landmarks_xml(("tip", "1 2 3")).replace(
                '"ArraySize" value="1"', '"ArraySize" value="0"'
            )
        ),
        "has 1 annotations beyond their ArraySize",
    ),
    "a label beyond the count": (
        lambda: changed('"NumberOfElements" value="2"', '"NumberOfElements" value="1"'),
        "values without a label: [2]",
    ),
    "a label under another key": (
        lambda: changed("Element[1]", "Element[001]"),
        "values without a label: [2]",
    ),
    "another size in words": (
        lambda: result_files(dimensions="12 10 9"),
        "states another size of its image than (12, 10, 8)",
    ),
    "a role that ITK-SNAP does not know": (
        lambda: result_files(layers=(MAIN, LayerSpec(role="LabelRole", file_name="lungs.nii.gz"))),
        "Layer[001] has the role 'LabelRole'",
    ),
    "another folder": (
        lambda: result_files(layers=(LayerSpec(folder="/elsewhere"), SEGMENTED)),
        "SaveLocation",
    ),
    "another size": (
        lambda: result_files(segmented=segmentation(size=(12, 10, 9))),
        "'lungs.nii.gz' does not lie on its image: size (12, 10, 9) instead of (12, 10, 8)",
    ),
    "another place": (lambda: result_files(segmented=shifted()), "origin"),
    "one time point of three": (
        lambda: result_files(image(LAYERS_4D), segmentation()),
        "does not lie on its image: size (12, 10, 8) instead of (12, 10, 8, 3)",
    ),
    "several values per voxel": (
        lambda: result_files(segmented=sitk.Compose([segmentation(), segmentation()])),
        "has 2 values per voxel, not one",
    ),
    "fractions": (
        lambda: result_files(segmented=typed(sitk.sitkFloat32, 0.5)),
        "voxels that are no integers",
    ),
    "values below zero": (
        lambda: result_files(segmented=typed(sitk.sitkInt16, -3)),
        "values from -3 to 0",
    ),
    "values too large": (
        lambda: result_files(segmented=typed(sitk.sitkInt32, 70000)),
        "values from 0 to 70000",
    ),
    "values without a label": (
        lambda: result_files(segmented=segmentation((1, 7))),
        "values without a label: [7]",
    ),
    "a segmentation that is cut off": (
        lambda: {**result_files(), SEGMENTED.file_name: result_files()[SEGMENTED.file_name][:-12]},
        "'lungs.nii.gz' cannot be used. The image file is damaged: it ends too early",
    ),
    "an image that is none": (
        lambda: {**result_files(), MAIN.file_name: b"voxels"},
        "cannot be used. The file is not a NIfTI file, whatever its name says",
    ),
    "a name": (
        lambda: {**result_files(), "lung 10:42.nii.gz": b"x"},
        "store the file 'lung 10:42.nii.gz': it has the character :",
    ),
    "twins": (lambda: {**result_files(), "LUNGS.nii.gz": b"x"}, "the same file on some systems"),
}


@pytest.mark.parametrize("case", BAD)
def test_an_unsound_result_is_refused_and_the_sentence_says_why(tmp_path: Path, case: str) -> None:
    made, why = BAD[case]

    assert why in judge(tmp_path, made())


def test_a_segmentation_of_the_users_stays_as_it_was(tmp_path: Path) -> None:
    """It lies beside the image and lacks a label; a provider's may do neither."""
    sent = submit(tmp_path, spec=WorkspaceSpec(layers=(MAIN, OWN)))
    sitk.WriteImage(moved(), str(sent / OWN.file_name))
    files = result_files(layers=(MAIN, SEGMENTED, OWN))

    same = {**files, OWN.file_name: (sent / OWN.file_name).read_bytes()}
    written_anew = {**files, OWN.file_name: result_files(segmented=moved())["lungs.nii.gz"]}
    other = {**files, OWN.file_name: result_files(segmented=moved(9))["lungs.nii.gz"]}

    assert judge(tmp_path, same) == ""
    assert judge(tmp_path, written_anew) == ""
    assert "'own.nii.gz' does not lie on its image" in judge(tmp_path, other)


def moved(value: int = 1) -> sitk.Image:
    built = segmentation((value,))
    built.SetOrigin((0.0, 0.0, 0.0))
    return built


@pytest.mark.parametrize("spoilt", ["t.itksnap", "own.nii.gz", "second.itksnap"])
def test_an_input_that_cannot_be_read_spoils_no_result(tmp_path: Path, spoilt: str) -> None:
    sent = submit(tmp_path, spec=WorkspaceSpec(layers=(MAIN, OWN)))
    (sent / "ticket_00000042.itksnap").rename(sent / "t.itksnap")
    (sent / spoilt).write_bytes(b"broken")

    assert judge(tmp_path, result_files()) == ""


def test_values_that_a_factor_makes_fractions_are_no_integers(tmp_path: Path) -> None:
    """Of NIfTI: ITK-SNAP would read the half of what is stored."""
    raw = bytearray(gzip.decompress(result_files()[SEGMENTED.file_name]))
    raw[112:116] = struct.pack("<f", 0.5)

    said = judge(tmp_path, {**result_files(), SEGMENTED.file_name: gzip.compress(bytes(raw))})

    assert "voxels that are no integers" in said


def test_a_link_is_no_file(tmp_path: Path) -> None:
    """It could lead to another patient's."""
    assert judge(tmp_path, result_files()) == ""
    image_file = tmp_path / "results" / MAIN.file_name
    shutil.move(image_file, tmp_path / "elsewhere.nii.gz")
    image_file.symlink_to(tmp_path / "elsewhere.nii.gz")

    with pytest.raises(TicketError, match="was not uploaded"):
        check_provider_results(tmp_path / "results", tuple(result_files()), tmp_path)


def test_a_workspace_is_not_read_beyond_reason(tmp_path: Path) -> None:
    huge = workspace_xml().replace(b"</registry>", b" " * (16 << 20) + b"</registry>")

    assert "larger than 16 MB" in judge(tmp_path, {**result_files(), "result.itksnap": huge})


def test_landmarks_of_both_sides_are_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading them anew for each one took hours of a dispatcher, if user and provider sent very many."""
    nowhere = landmarks_xml(*((f"tip {i}", f"1 nan {i}") for i in range(20)))
    submit(tmp_path, spec=WorkspaceSpec(layers=(MAIN,), extra=nowhere))
    read: list[Folder] = []

    def counted(workspace: Folder) -> list[str]:
        read.append(workspace)
        return invalid_positions(workspace)

    monkeypatch.setattr(provider_results, "invalid_positions", counted)

    assert judge(tmp_path, result_files(extra=nowhere)) == ""
    assert len(read) == 2


@pytest.mark.parametrize(
    "names", [[f"Region {i} of the cortex" for i in range(1000)], ["x" * 99_999]]
)
def test_labels_of_a_result_fit_into_the_answer(tmp_path: Path, names: list[str]) -> None:
    """An answer that is too large cannot be sent, so the portal waited in vain, at each attempt."""
    values = range(1, len(names) + 1)
    segmented = image((40, 40, 10), sitk.sitkUInt16)
    for value in values:
        segmented[value % 40, value // 40, 0] = value
    labels = dict(zip(values, names, strict=True))
    files = result_files(image((40, 40, 10)), segmented, labels=labels, dimensions="40 40 10")
    assert judge(tmp_path, files) == ""

    shown = present(tmp_path / "results", tmp_path, tmp_path / "attached")

    assert shown.labels
    encode(ResultsAccepted(ticket_id=42, claim_id="c", labels=shown.labels))
    count = len(shown.labels)
    told = f"The table shows the first {count} of {len(names)} labels."
    assert shown.remarks == (() if count == len(names) else (told,))
