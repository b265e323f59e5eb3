"""Writes a mesh in VTK's binary legacy format, which every version of ITK-SNAP loads."""

import numpy as np

from dss_images.mesh.surface import TO_LPS, Array


def mesh_bytes(points_lps_mm: Array, triangles: Array) -> bytes:
    """The bytes of a mesh file in VTK's binary legacy format.  The points (n, 3) are in LPS, in millimetres; the file
    has them in RAS.

    ``triangles`` (m, 3) are numbers of points, from 0.
    """
    points = (np.asarray(points_lps_mm, np.float64) * TO_LPS).astype(">f4")
    cells = np.empty((len(triangles), 4), ">i4")
    cells[:, 0] = 3
    cells[:, 1:] = triangles
    head = "# vtk DataFile Version 3.0\nmesh\nBINARY\nDATASET POLYDATA\n"
    return b"".join(
        [
            f"{head}POINTS {len(points)} float\n".encode(),
            points.tobytes(),
            f"\nPOLYGONS {len(cells)} {cells.size}\n".encode(),
            cells.tobytes(),
            b"\n",
        ]
    )
