# mypy: allow-untyped-calls
"""Results of a provider over HTTP, to be checked."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_dispatch.errors import TicketError
from dss_dispatch.result.provider_results import check_provider_results
from dss_images.mesh.writing import mesh_bytes
from support.builders import (
    grid_of,
    image,
    result_files,
    segmentation,
)

Files = dict[str, bytes]


def judge(folder: Path, files: Files) -> str:
    """What is wrong with them; "" if nothing is."""
    judged = judgement(folder, files)
    return judged if isinstance(judged, str) else ""


def judgement(folder: Path, files: Files) -> str | tuple[str, ...]:
    """The sentence that refuses them, or the remarks on them if they are accepted."""
    results = folder / "results"
    results.mkdir(exist_ok=True)
    for name, data in files.items():
        (results / name).write_bytes(data)
    try:
        sent = folder / "tickets" / "00000042" / "input"
        return check_provider_results(results, tuple(files), sent)
    except TicketError as error:
        return str(error)


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
    return mesh_bytes(points * (-1, -1, 1) if flipped else points, np.array([[0, 1, 2]]))


def without(name: str) -> Files:
    return {other: data for other, data in result_files().items() if other != name}


def on(main: sitk.Image) -> sitk.Image:
    """A segmentation that fits ``main``."""
    built = segmentation(size=main.GetSize())
    built.CopyInformation(main)
    return built
