"""Meshes are judged: counts, packed sizes and memory while they are read, then cells, points and place."""

import base64
import struct
import tracemalloc
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from dss_images.errors import ImageRefused
from dss_images.grid import Grid
from dss_images.mesh.reading import read_mesh
from dss_images.mesh.surface import Surface, require_in_image
from support.vtk_files import array, xml, xml_packed, xml_text

GRID = Grid(
    size=(20, 20, 10),
    spacing_mm=(1.0, 1.0, 2.0),
    origin_mm=(5.0, 30.0, 100.0),
    direction=(0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0),
)
HEAD = b"# vtk DataFile Version 5.1\nvtk output\n"


def test_a_cell_of_a_negative_count_ends_the_reading(tmp_path: Path) -> None:
    """Each count leads to the next one; one of -1 would lead back to itself, as often as the file says."""
    cells = b"POLYGONS 99999999999999999 4\n-1 0 1 2\n"
    (tmp_path / "a.vtk").write_bytes(
        HEAD + b"ASCII\nDATASET POLYDATA\nPOINTS 1 float\n1 2 3\n" + cells
    )

    with pytest.raises(ImageRefused, match="damaged"):
        read_mesh(tmp_path / "a.vtk")


def test_cells_without_their_numbers_are_refused_beside_others(tmp_path: Path) -> None:
    points = b"POINTS 1 float\n1 2 3\nVERTICES 1 2\n1 0\n"
    (tmp_path / "a.vtk").write_bytes(
        HEAD + b"ASCII\nDATASET POLYDATA\n" + points + b"POLYGONS 3 12\n"
    )

    with pytest.raises(ImageRefused, match="damaged"):
        read_mesh(tmp_path / "a.vtk")


def packed(blocks: int, block_bytes: int, last_bytes: int, data: bytes) -> str:
    head = struct.pack("<4I", blocks, block_bytes, last_bytes, len(data))
    return (base64.b64encode(head) + base64.b64encode(data)).decode()


@pytest.mark.parametrize("sizes", [(1, 0, 0), (1, 48, 2**31)])
def test_a_packed_array_is_not_unpacked_beyond_what_it_announces(
    sizes: tuple[int, int, int], tmp_path: Path
) -> None:
    points = array("Points", "Float32", packed(*sizes, zlib.compress(bytes(200_000_000))))
    path = tmp_path / "a.vtp"
    path.write_bytes(xml(points, "", 'compressor="vtkZLibDataCompressor"'))
    tracemalloc.start()

    with pytest.raises(ImageRefused, match="damaged"):
        read_mesh(path)

    most_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most_bytes < 50_000_000


@pytest.mark.parametrize("separator", [b" ", b"\n"])
def test_text_is_read_without_a_multiple_of_its_memory(
    separator: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dss_images.mesh.text.PIECE", 2**14)
    count = 180_000
    points = separator.join([b"1.5 1.5 1.5 1.5 1.5 1.5 1.5 1.5 1.5"] * (count // 9))
    cells = separator.join([b"3 0 1 2"] * 1000)
    head = HEAD + f"ASCII\nDATASET POLYDATA\nPOINTS {count // 3} float\n".encode()
    data = head + points + b"\nPOLYGONS 1000 4000\n" + cells + b"\n"
    (tmp_path / "a.vtk").write_bytes(data)
    tracemalloc.start()

    found = read_mesh(tmp_path / "a.vtk")

    most_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(found.points_mm), found.corners.size) == (count // 3, 3000)
    assert found.points_mm.min() == found.points_mm.max() == 1.5
    assert most_bytes < 7_000_000


def test_all_arrays_together_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many small pieces may each name the same packed data."""
    monkeypatch.setattr("dss_images.mesh.vtp.MOST_BYTES", 400)
    one = xml_packed()
    start, end = one.index(b"<Piece"), one.index(b"</Piece>") + len(b"</Piece>")
    (tmp_path / "a.vtp").write_bytes(one[:end] + one[start:end] * 5 + one[end:])

    with pytest.raises(ImageRefused, match="larger than 2 GB"):
        read_mesh(tmp_path / "a.vtp")


def test_a_piece_does_not_reach_into_the_piece_before_it(tmp_path: Path) -> None:
    one = xml_text()
    start, end = one.index(b"<Piece"), one.index(b"</Piece>") + len(b"</Piece>")
    second = one[start:end].replace(b"0 1 2 1 2 3", b"0 1 -2 1 2 3")
    (tmp_path / "a.vtp").write_bytes(one[:end] + second + one[end:])

    with pytest.raises(ImageRefused, match="a point that it does not have"):
        read_mesh(tmp_path / "a.vtp")


def surface(indices: Iterable[object], corners: object = (0, 1, 2)) -> Surface:
    """A surface of points that are given as voxels of GRID."""
    found = np.array([GRID.point_mm(np.array(i, float)) for i in indices])
    return Surface(points_mm=found * (-1, -1, 1), corners=np.array(corners, np.int64))


INSIDE = [(0, 0, 0), (19, 19, 9), (10, 3, 4)]


def test_a_mesh_in_the_image_or_a_little_outside_is_accepted() -> None:
    require_in_image(surface(INSIDE), GRID)
    require_in_image(surface([*INSIDE, (-2, 20, 10)]), GRID)


@pytest.mark.parametrize(
    ("mesh", "sentence"),
    [
        (
            surface([*INSIDE, (60, 0, 0)]),
            r"lies at .* mm, outside of the image at -24 to -4, .*RAS",
        ),
        (
            Surface(points_mm=surface(INSIDE).points_mm * (-1, -1, 1), corners=np.arange(3)),
            "seem to be LPS; change the sign of x and y",
        ),
        (
            Surface(points_mm=np.array(INSIDE, float), corners=np.arange(3)),
            "seem to be indices of voxels",
        ),
        (Surface(points_mm=surface(INSIDE).points_mm * np.nan, corners=np.arange(3)), "no numbers"),
        (surface(INSIDE, (0, 1, 3)), "a cell with the point 3, and points 0 to 2"),
        (surface(INSIDE, (0, 1, -1)), "a cell with the point -1, and points 0 to 2"),
        (surface(INSIDE, ()), "no points or no cells"),
    ],
)
def test_a_mesh_that_cannot_be_shown_is_refused(mesh: Surface, sentence: str) -> None:
    with pytest.raises(ImageRefused, match=sentence):
        require_in_image(mesh, GRID)
