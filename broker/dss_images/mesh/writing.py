"""Writes a mesh as VTK's legacy file, binary, which every version of ITK-SNAP loads."""

import numpy as np

from dss_images.mesh.surface import TO_LPS, Array


def written(points_lps_mm: Array, triangles: Array) -> bytes:
    """The file with the points (n, 3), given in LPS, mm, and the triangles (m, 3), numbers of points from 0.  The file
    contains RAS.
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
