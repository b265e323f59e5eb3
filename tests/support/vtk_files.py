"""One mesh as VTK writes it in XML."""

import base64
import struct
import zlib
from collections.abc import Callable

import numpy as np

POINTS = np.array([[1, 2, 3], [4, 2, 3], [1, 5, 3], [4, 5, 3.5]], np.float32)
TRIANGLES = np.array([[0, 1, 2], [1, 2, 3]], np.int64)


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


def xml_packed(
    kind: str = "ZLib",
    compress: Callable[[bytes], bytes] = zlib.compress,
    *,
    damaged: bool = False,
) -> bytes:
    """The mesh with arrays of two compressed blocks, the second one shorter; ``damaged``: with altered bytes."""

    def encoded(data: bytes) -> str:
        blocks = [compress(data[:32]), compress(data[32:])]
        if damaged:
            blocks = [bytes(255 - byte for byte in block) for block in blocks]
        head = struct.pack("<5I", 2, 32, len(data) - 32, *(len(b) for b in blocks))
        return (base64.b64encode(head) + base64.b64encode(b"".join(blocks))).decode()

    points = array("Points", "Float32", encoded(POINTS.tobytes()))
    cells = array("connectivity", "Int64", encoded(TRIANGLES.tobytes()))
    return xml(points, cells, f'compressor="vtk{kind}DataCompressor"')
