"""Meshes are read in all that VTK writes, and judged: cells, finite points, and a place in the image."""

import base64
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dss_images.errors import ImageRefused
from dss_images.grid import Grid
from dss_images.mesh.reading import read_mesh
from dss_images.mesh.surface import Surface, require_in_image
from dss_images.mesh.writing import written

POINTS = np.array([[1, 2, 3], [4, 2, 3], [1, 5, 3], [4, 5, 3.5]], np.float32)
TRIANGLES = np.array([[0, 1, 2], [1, 2, 3]], np.int64)
GRID = Grid(
    size=(20, 20, 10),
    spacing_mm=(1.0, 1.0, 2.0),
    origin_mm=(5.0, 30.0, 100.0),
    direction=(0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0),
)
HEAD = b"# vtk DataFile Version 5.1\nvtk output\n"


def legacy_text() -> bytes:
    return (
        HEAD + b"ASCII\nDATASET POLYDATA\n"
        b"FIELD FieldData 1\nTimeValue 1 1 double\n0.5\n"
        b"POINTS 4 float\n1 2 3 4 2 3\n1 5 3 4 5 3.5\n"
        b"METADATA\nINFORMATION 0\n\n"
        b"POLYGONS 3 6\nOFFSETS vtktypeint64\n0 3 6\nCONNECTIVITY vtktypeint64\n0 1 2\n1 2 3\n"
        b"POINT_DATA 4\nSCALARS a float\nLOOKUP_TABLE default\n1 2 3 4\n"
    )


def legacy_binary() -> bytes:
    return b"".join(
        [
            HEAD + b"BINARY\nDATASET POLYDATA\nPOINTS 4 float\n",
            POINTS.astype(">f4").tobytes(),
            b"\nPOLYGONS 3 6\nOFFSETS vtktypeint64\n",
            np.array([0, 3, 6], ">i8").tobytes(),
            b"\nCONNECTIVITY vtktypeint64\n",
            TRIANGLES.astype(">i8").tobytes(),
            b"\nPOINT_DATA 4\n",
        ]
    )


def legacy_of_ours() -> bytes:
    return written(POINTS * (-1, -1, 1), TRIANGLES)


def array(name: str, kind: str, text: str, how: str = 'format="binary"') -> str:
    return f'<DataArray type="{kind}" Name="{name}" {how}>{text}</DataArray>'


def xml(points: str, cells: str, attributes: str = "", tail: bytes = b"") -> bytes:
    head = (
        f'<?xml version="1.0"?>\n<VTKFile type="PolyData" version="1.0" byte_order="LittleEndian" {attributes}>'
        f'<PolyData><Piece NumberOfPoints="4" NumberOfPolys="2"><Points>{points}</Points>'
        f"<Polys>{cells}</Polys></Piece></PolyData>"
    )
    return head.encode() + tail + b"</VTKFile>"


def xml_text() -> bytes:
    how = 'format="ascii"'
    points = array("Points", "Float32", "1 2 3 4 2 3 1 5 3 4 5 3.5", how)
    return xml(points, array("connectivity", "Int64", "0 1 2 1 2 3", how))


def xml_base64() -> bytes:
    def encoded(data: bytes) -> str:
        return base64.b64encode(struct.pack("<Q", len(data)) + data).decode()

    points = array("Points", "Float32", encoded(POINTS.tobytes()))
    cells = array("connectivity", "Int64", encoded(TRIANGLES.tobytes()))
    return xml(points, cells, 'header_type="UInt64"')


def xml_packed() -> bytes:
    """In two blocks, of which the last one is shorter."""

    def encoded(data: bytes) -> str:
        blocks = [zlib.compress(data[:32]), zlib.compress(data[32:])]
        head = struct.pack("<5I", 2, 32, len(data) - 32, *(len(b) for b in blocks))
        return (base64.b64encode(head) + base64.b64encode(b"".join(blocks))).decode()

    points = array("Points", "Float32", encoded(POINTS.tobytes()))
    cells = array("connectivity", "Int64", encoded(TRIANGLES.tobytes()))
    return xml(points, cells, 'compressor="vtkZLibDataCompressor"')


def xml_appended() -> bytes:
    data = [struct.pack("<I", len(d)) + d for d in (POINTS.tobytes(), TRIANGLES.tobytes())]
    points = array("Points", "Float32", "", 'format="appended" offset="0"')
    cells = array("connectivity", "Int64", "", f'format="appended" offset="{len(data[0])}"')
    tail = b'<AppendedData encoding="raw">\n_' + b"".join(data) + b"\n</AppendedData>"
    return xml(points, cells, tail=tail)


KINDS: dict[str, list[Callable[[], bytes]]] = {
    ".vtk": [legacy_text, legacy_binary, legacy_of_ours],
    ".vtp": [xml_text, xml_base64, xml_packed, xml_appended],
}


@pytest.mark.parametrize(
    ("suffix", "make"), [(suffix, make) for suffix in KINDS for make in KINDS[suffix]]
)
def test_each_way_of_writing_is_read(
    suffix: str, make: Callable[[], bytes], tmp_path: Path
) -> None:
    path = tmp_path / f"mesh{suffix}"
    path.write_bytes(make())

    found = read_mesh(path)

    assert found.points_mm.tolist() == POINTS.tolist()
    assert found.corners.tolist() == TRIANGLES.ravel().tolist()


@pytest.mark.parametrize(
    ("suffix", "make"), [(suffix, make) for suffix in KINDS for make in KINDS[suffix]]
)
def test_a_file_that_was_cut_off_is_refused(
    suffix: str, make: Callable[[], bytes], tmp_path: Path
) -> None:
    data = make()
    path = tmp_path / f"mesh{suffix}"
    end = data.find(b"POINT_DATA") if b"POINT_DATA" in data else len(data)
    for length in range(len(data[:22]), end - 12, 7):
        path.write_bytes(data[:length])
        with pytest.raises(ImageRefused):
            require_in_image(read_mesh(path), _around(POINTS))


def _around(points: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Grid:
    low = points.min(axis=0) * (-1, -1, 1)
    return Grid(
        size=(50, 50, 50),
        spacing_mm=(1.0, 1.0, 1.0),
        origin_mm=(float(low[0]) - 25, float(low[1]) - 25, float(low[2]) - 25),
        direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
    )


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("a.vtk", b"solid stl", "no mesh that ITK-SNAP loads; write a VTK file"),
        ("a.vtp", legacy_text(), r"is a \.vtk file but is named '\.vtp'"),
        ("a.vtk", HEAD + b"ASCII\nDATASET UNSTRUCTURED_GRID\n", "holds DATASET UNSTRUCTURED_GRID"),
        ("a.vtp", xml_text().replace(b'"PolyData"', b'"ImageData"'), "holds ImageData"),
        (
            "a.vtp",
            xml_packed().replace(b"ZLib", b"LZ4"),
            "packed with vtkLZ4DataCompressor; write it with zlib",
        ),
        ("a.vtp", xml_text().replace(b'"4"', b'"5"'), "damaged or incomplete"),
        ("a.vtp", b'<!DOCTYPE x [<!ENTITY a "b">]>' + xml_text(), "no mesh|damaged"),
    ],
)
def test_other_files_are_refused(name: str, data: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)

    with pytest.raises(ImageRefused, match=sentence):
        read_mesh(tmp_path / name)


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


@pytest.mark.parametrize("make", [legacy_text, xml_text])
def test_text_is_cut_between_numbers(
    make: Callable[[], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dss_images.mesh.text.PIECE", 2)
    path = tmp_path / ("a.vtk" if make is legacy_text else "a.vtp")
    path.write_bytes(make())

    assert read_mesh(path).points_mm.tolist() == POINTS.tolist()


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


def surface(indices: object, corners: object = (0, 1, 2)) -> Surface:
    """Of points that are given as voxels of GRID."""
    found = np.array([GRID.point_mm(np.array(i, float)) for i in indices])  # type: ignore[attr-defined]
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
