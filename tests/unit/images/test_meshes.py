"""Meshes are read in all that VTK writes, and judged: cells, finite points, and a place in the image."""

import base64
import lzma
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dss_images.errors import ImageRefused
from dss_images.grid import Grid
from dss_images.mesh.reading import read_mesh
from dss_images.mesh.surface import require_in_image
from dss_images.mesh.writing import mesh_bytes
from support.vtk_files import POINTS, TRIANGLES, array, xml, xml_packed, xml_text

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
    return mesh_bytes(POINTS * (-1, -1, 1), TRIANGLES)


def xml_base64() -> bytes:
    def encoded(data: bytes) -> str:
        return base64.b64encode(struct.pack("<Q", len(data)) + data).decode()

    points = array("Points", "Float32", encoded(POINTS.tobytes()))
    cells = array("connectivity", "Int64", encoded(TRIANGLES.tobytes()))
    return xml(points, cells, 'header_type="UInt64"')


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
        ("a.vtp", xml_packed(damaged=True), "damaged or incomplete"),
        ("a.vtp", xml_packed("LZMA", lzma.compress, damaged=True), "damaged or incomplete"),
        (
            "a.vtp",
            xml_text().replace(b'version="1.0"', b'version="1.0" encoding="none"', 1),
            "damaged or incomplete",
        ),
        ("a.vtp", b'<!DOCTYPE x [<!ENTITY a "b">]>' + xml_text(), "no mesh|damaged"),
    ],
)
def test_other_files_are_refused(name: str, data: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)

    with pytest.raises(ImageRefused, match=sentence):
        read_mesh(tmp_path / name)


@pytest.mark.parametrize("make", [legacy_text, xml_text])
def test_text_is_cut_between_numbers(
    make: Callable[[], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dss_images.mesh.text.PIECE", 2)
    path = tmp_path / ("a.vtk" if make is legacy_text else "a.vtp")
    path.write_bytes(make())

    assert read_mesh(path).points_mm.tolist() == POINTS.tolist()
