# mypy: allow-untyped-calls
"""What a provider over HTTP returns passes if ITK-SNAP can load it and it lies on its image; else not."""

import gzip
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_dispatch.errors import TicketError
from dss_dispatch.result.provider_results import check_provider_results
from dss_images.mesh.writing import written
from support.builders import (
    MAIN,
    SEGMENTED,
    SIZE,
    LayerSpec,
    WorkspaceSpec,
    grid_of,
    image,
    landmarks_xml,
    result_files,
    segmentation,
    submit,
    workspace_xml,
)

Files = dict[str, bytes]
OWN = LayerSpec(role="SegmentationRole", file_name="own.nii.gz")
LAYERS_4D = (12, 10, 8, 3)


def judge(folder: Path, files: Files) -> str:
    """What is wrong with them; "" if nothing is."""
    results = folder / "results"
    results.mkdir(exist_ok=True)
    for name, data in files.items():
        (results / name).write_bytes(data)
    try:
        check_provider_results(results, tuple(files), folder / "tickets" / "00000042" / "input")
    except TicketError as error:
        return str(error)
    return ""


def typed(pixel: int, *values: float) -> sitk.Image:
    built = image(SIZE, pixel)
    for x, value in enumerate(values):
        built[x, 0, 0] = value
    return built


def shifted() -> sitk.Image:
    built = segmentation()
    built.SetOrigin((0.0, 0.0, 0.0))
    return built


def mesh_layer(name: str) -> str:
    data = f'<entry key="AbsolutePath" value="/client/tmp/alfabis_x62lS8/{name}" />'
    for key in ("PolyData[000]", "TimePoint[001]", "MeshTimePoints", "Layer[000]", "MeshLayers"):
        data = f'<folder key="{key}" >{data}</folder>'
    return data


def with_mesh(data: bytes, name: str = "hull.vtk") -> Files:
    return {**result_files(extra=mesh_layer(name)), name: data}


def mesh(*, flipped: bool = False) -> bytes:
    """A triangle in the image; ``flipped``: with the sign of x and y that LPS has."""
    grid = grid_of(image())
    points = np.array(
        [grid.point_mm(np.array(i, float)) for i in ((0, 0, 0), (5, 4, 3), (2, 5, 1))]
    )
    return written(points * (-1, -1, 1) if flipped else points, np.array([[0, 1, 2]]))


def without(name: str) -> Files:
    return {other: data for other, data in result_files().items() if other != name}


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
        "cannot be used. The file is not an image of NIfTI",
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


def on(main: sitk.Image) -> sitk.Image:
    """A segmentation that fits ``main``."""
    built = segmentation(size=main.GetSize())
    built.CopyInformation(main)
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
    """Nor one that ITK-SNAP has written without a place."""
    lost = landmarks_xml(("tip", "nan nan nan"))
    submit(tmp_path, spec=WorkspaceSpec(extra=lost))

    assert judge(tmp_path, result_files(extra=lost)) == ""


def test_a_mesh_that_the_user_sent_may_lie_anywhere_and_have_another_name(tmp_path: Path) -> None:
    """The Python client names each file by its content."""
    sent = submit(tmp_path)
    (sent / "theirs.vtk").write_bytes(mesh(flipped=True))

    assert judge(tmp_path, with_mesh(mesh(flipped=True), "layer_0a1b.vtk")) == ""
