# mypy: allow-untyped-calls
"""What ITK-SNAP's users send loses what tells of them and their machines, and nothing else."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_portal.scrubbing.files import scrub
from dss_portal.scrubbing.image_headers import scrub_volume
from dss_portal.scrubbing.workspaces import without_paths
from dss_workspace.label_table import label_table
from dss_workspace.layers import layers
from dss_workspace.paths import has_uniform_folder
from dss_workspace.registry import Folder, parse
from support.builders import image, segmentation, workspace_xml, write_image

HERE = "/dss/tickets/00000007"
WORDS = b"Smith^John 1950"
WORKSPACES = (
    "MRIcrop-with-mesh",
    "diffspace",
    "echo_cartesian_loading",
    "img4d_11f",
    "img4d_11f_volren",
    "itksnap-wt_local_workspace",
    "itksnap-wt_results",
    "itksnap-wt_uploaded_ticket",
    "mesh_workspace",
    "segmentation_mesh",
    "tensor",
    "ultrasound_ws4d",
    "warpfield",
)


def values(workspace: Folder) -> list[str]:
    return [value for folder in workspace.walk() for value in folder.entries.values()]


@pytest.mark.shared_data
@pytest.mark.parametrize("name", WORKSPACES)
def test_a_real_workspace_tells_no_path_any_more_and_keeps_the_rest(
    shared_data: Path, name: str
) -> None:
    data = (shared_data / "itksnap" / f"{name}.itksnap").read_bytes()
    before = parse(data)

    scrubbed = without_paths(data, HERE)

    after = parse(scrubbed)
    assert not [v for v in values(after) if "/" in v and not v.startswith(HERE)]
    assert not [word for word in (b"Users", b"users", b"pauly", b"/client") if word in scrubbed]
    assert not [folder for folder in after.walk() if "IOHistory" in folder.folders]
    assert has_uniform_folder(after)
    assert layers(after) == layers(before)
    assert label_table(after) == label_table(before)
    assert _without_places(after) == _without_places(before)
    assert without_paths(scrubbed, HERE) == scrubbed, "twice is not the same as once"


def _without_places(workspace: Folder) -> list[tuple[str, str]]:
    """Every entry in order, but for those that name places."""
    return [
        entry
        for folder in _but_histories(workspace)
        for entry in folder.entries.items()
        if entry[0] not in {"AbsolutePath", "SaveLocation"}
    ]


def _but_histories(folder: Folder) -> list[Folder]:
    children = [child for key, child in folder.folders.items() if key != "IOHistory"]
    return [folder, *(f for child in children for f in _but_histories(child))]


@pytest.mark.parametrize(
    ("nickname", "kept"),
    [
        ("/home/jane.doe/patients/smith.nii", "smith.nii"),
        (r"C:\Users\Jane Doe\smith.nii", "smith.nii"),
        (r"\\server\share\smith.nii", "smith.nii"),
        ("~jane/patients/smith.nii", "smith.nii"),
        ("file:///home/jane/smith.nii", "smith.nii"),
        ("copy of /home/jane/smith.nii (2)", "copy of smith.nii (2)"),
        ("T1/T2 ratio", "T1/T2 ratio"),
        ("0.5 / 2 / 3", "0.5 / 2 / 3"),
        ("https://example.com/a/b", "https://example.com/a/b"),
        ("Лёгкие", "Лёгкие"),
    ],
)
def test_a_path_in_a_nickname_is_cut_to_its_last_part(nickname: str, kept: str) -> None:
    workspace = parse(workspace_xml())
    entry = f'<entry key="CustomNickName" value="{nickname}" />'.encode()
    data = workspace_xml().replace(b'<entry key="Role"', entry + b'<entry key="Role"', 1)

    after = parse(without_paths(data, HERE))

    assert after.get("Layers.Layer[000].CustomNickName") == kept
    assert workspace.get("SaveLocation") != after.get("SaveLocation")


@pytest.mark.parametrize("data", [b"<registry/>", b"w", b"", b"<registry><entry/></registry>"])
def test_what_tells_nothing_or_is_no_workspace_stays_to_the_byte(data: bytes) -> None:
    assert without_paths(data, HERE) == data


def told(path: Path, packed: bool, order: str = "<", *, extension: bytes = b"") -> bytes:
    """Let the NIfTI-1 file ``path`` tell of its patient; its bytes then, unpacked."""
    raw = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    raw[14 : 14 + len(WORDS)] = raw[148 : 148 + len(WORDS)] = raw[228 : 228 + len(WORDS)] = WORDS
    if extension:
        raw[348] = 1
        head = struct.pack(f"{order}ii", len(extension) + 8, 6) + extension
        raw[352:352] = head
        raw[108:112] = struct.pack(f"{order}f", 352 + len(head))
    path.write_bytes(gzip.compress(bytes(raw)) if packed else bytes(raw))
    return bytes(raw)


def unpacked(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data


def noise(size: tuple[int, ...] = (12, 10, 8)) -> sitk.Image:
    built = image(size)
    values = np.random.default_rng(1).integers(-1000, 1000, size[::-1], dtype=np.int16)
    filled = sitk.GetImageFromArray(values)
    filled.CopyInformation(built)
    return filled


@pytest.mark.parametrize("extension", [b"", WORDS + b" " * 17])
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_a_volume_tells_no_words_any_more_and_its_voxels_and_grid_are_the_same(
    tmp_path: Path, name: str, extension: bytes
) -> None:
    path = write_image(tmp_path / name, noise())
    told(path, name.endswith(".gz"), extension=extension)
    before = sitk.ReadImage(str(path))
    assert WORDS in unpacked(path)

    scrub_volume(path)

    after = sitk.ReadImage(str(path))
    assert WORDS not in unpacked(path)
    assert not [key for key in after.GetMetaDataKeys() if "Smith" in after.GetMetaData(key)]
    assert np.array_equal(sitk.GetArrayFromImage(after), sitk.GetArrayFromImage(before))
    for grid in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection", "GetPixelID"):
        assert getattr(after, grid)() == getattr(before, grid)()
    assert sorted(path.parent.iterdir()) == [path]


def test_every_byte_but_the_words_is_the_same(tmp_path: Path) -> None:
    path = write_image(tmp_path / "scan.nii.gz", noise())
    clean = unpacked(path)
    told(path, packed=True)

    scrub_volume(path)

    assert unpacked(path) == clean


def nifti_2(order: str) -> bytes:
    head = bytearray(544)
    struct.pack_into(f"{order}i", head, 0, 540)
    head[4:12] = b"n+2\0\r\n\x1a\n"
    struct.pack_into(f"{order}hh", head, 12, 4, 16)
    struct.pack_into(f"{order}8q", head, 16, 3, 2, 2, 2, 1, 1, 1, 1)
    struct.pack_into(f"{order}q", head, 168, 544)
    head[240 : 240 + len(WORDS)] = head[320 : 320 + len(WORDS)] = WORDS
    return bytes(head) + bytes(range(16))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_nifti_2_and_other_byte_orders_are_known(tmp_path: Path, order: str, packed: bool) -> None:
    path = tmp_path / "scan"
    path.write_bytes(gzip.compress(nifti_2(order)) if packed else nifti_2(order))

    scrub_volume(path)

    assert unpacked(path) == nifti_2(order).replace(WORDS, bytes(len(WORDS)))


def test_a_header_of_its_own_is_scrubbed(tmp_path: Path) -> None:
    path = write_image(tmp_path / "scan.nii", noise())
    raw = bytearray(told(path, packed=False)[:352])
    raw[344:348] = b"ni1\0"
    path.write_bytes(bytes(raw) + WORDS)

    scrub_volume(path)

    assert WORDS not in path.read_bytes()
    assert len(path.read_bytes()) == 352 + len(WORDS)


def damaged(path: Path) -> bytes:
    told(path, packed=True)
    return path.read_bytes()[:-9]


def longer_than_it_says(path: Path) -> bytes:
    return gzip.compress(told(path, packed=True) + bytes(3 << 20))


def of_another_kind(path: Path) -> bytes:
    told(path, packed=True)
    return gzip.compress(unpacked(path).replace(b"n+1\0", b"n-1\0"))


def clean(path: Path) -> bytes:
    return path.read_bytes()


@pytest.mark.parametrize("make", [damaged, longer_than_it_says, of_another_kind, clean])
def test_what_is_damaged_strange_or_clean_stays_to_the_byte(
    tmp_path: Path, make: Callable[[Path], bytes]
) -> None:
    path = write_image(tmp_path / "scan.nii.gz", noise())
    path.write_bytes(make(path))
    before = path.read_bytes()

    scrub_volume(path)

    assert path.read_bytes() == before
    assert sorted(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("data", [b"", b"x", b"\x1f\x8b", b"\x1f\x8b" * 300, b"\x5c\x01\x00\x00"])
async def test_junk_stays_to_the_byte(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "junk"
    path.write_bytes(data)

    assert await scrub(path, HERE) == len(data)
    assert path.read_bytes() == data


async def test_the_size_told_is_that_of_what_is_kept(tmp_path: Path) -> None:
    workspace = tmp_path / "a"
    workspace.write_bytes(workspace_xml())
    volume = write_image(tmp_path / "b.nii.gz", segmentation())
    told(volume, packed=True)

    for path in (workspace, volume):
        assert await scrub(path, HERE) == path.stat().st_size
    assert b"jane.doe" not in workspace.read_bytes()
    assert WORDS not in unpacked(volume)
