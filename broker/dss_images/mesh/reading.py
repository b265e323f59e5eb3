"""Reads the points and cells of a mesh file in any supported format, so that they can be checked."""

from pathlib import Path

from dss_images.errors import ImageRefused
from dss_images.mesh.legacy import read_legacy
from dss_images.mesh.surface import Surface, damaged
from dss_images.mesh.vtp import read_vtp

SUFFIXES = (".vtk", ".vtp")
MOST_BYTES = 2**30
_LEGACY = b"# vtk DataFile"


def is_mesh_name(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def read_mesh(path: Path) -> Surface:
    """The surface in the mesh file ``path``.

    Raises ImageRefused unless it is intact polygonal data of VTK, of at most MOST_BYTES, with the suffix of its format.
    """
    if path.stat().st_size > MOST_BYTES:
        raise ImageRefused("The mesh is larger than 1 GB; reduce its triangles.")
    data = path.read_bytes()
    is_legacy, is_xml = data.startswith(_LEGACY), data.lstrip()[:5] in {b"<?xml", b"<VTKF"}
    if not is_legacy and not is_xml:
        raise ImageRefused(
            "The file is no mesh that ITK-SNAP loads; write a VTK file (.vtk) or a VTK XML file of polygonal data (.vtp)."
        )
    needed = ".vtk" if is_legacy else ".vtp"
    if path.suffix.lower() != needed:
        raise ImageRefused(f"The mesh is a {needed} file but is named '{path.suffix}'; rename it.")
    try:
        return read_legacy(data) if is_legacy else read_vtp(data)
    except (ValueError, IndexError, OverflowError, MemoryError) as error:
        raise damaged() from error
