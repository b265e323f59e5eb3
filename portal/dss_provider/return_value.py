"""Checks each part of the return value of a provider's function, and stores it in files for the publisher.  Runs in the
function's process.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dss_images.mesh.writing import mesh_bytes
from dss_provider.algorithm import Array, Image, Label, Mesh, Result, Segmentation
from dss_provider.errors import AlgorithmFailed
from dss_provider.outcome import (
    FILES,
    AlgorithmOutcome,
    MeshFile,
    NamedLabel,
    OutputImage,
    default_name,
)
from dss_provider.output_checks import (
    MOST_TABLE_BYTES,
    as_image,
    as_labels,
    colour,
    file_name,
    formula_in,
    mesh_arrays,
    plain_name,
    point,
    require_few,
)
from dss_provider.process_output import LONGEST_TEXT, one_line
from dss_workspace.notes import shortened

MOST_REMARKS = 20
NEEDED = "a Segmentation, a Result or an array is needed"


def store_return_value(returned: object, image: Image, work: Path) -> AlgorithmOutcome:
    """Store the arrays, meshes and files of ``returned`` in the folder ``work``, and return the outcome that names
    them.  Raises AlgorithmFailed if a part is not usable.
    """
    result = _result(returned)
    shape = image.array.shape[:3]
    images, meshes = _mapping(result.images, "images"), _mapping(result.meshes, "meshes")
    files = _mapping(result.files, "files")
    require_few(len(files))
    outcome = AlgorithmOutcome(
        segmentations=tuple(
            _map(s, i, shape, work) for i, s in enumerate(_segmentations(result.segmentations))
        ),
        images=tuple(_image(n, a, i, shape, work) for i, (n, a) in enumerate(images.items())),
        meshes=tuple(_mesh(n, m, i, work) for i, (n, m) in enumerate(meshes.items())),
        landmarks={
            plain_name(text, "A landmark"): point(place, f"The landmark '{text}'")
            for text, place in _mapping(result.landmarks, "landmarks").items()
        },
        files=tuple(_file(name, content, files, work) for name, content in files.items()),
        remarks=shortened(
            [one_line(str(remark))[:LONGEST_TEXT] for remark in _listed(result.remarks)],
            MOST_REMARKS,
        ),
    )
    if outcome.is_empty:
        raise AlgorithmFailed(
            "The function returned a Result without anything in it; segmentations, images, meshes, landmarks or files are "
            "needed."
        )
    return replace(outcome, remarks=(*outcome.remarks, *formulas(outcome.files, work)))


def formulas(names: Iterable[str], work: Path) -> list[str]:
    """Warnings about those of the files ``names`` that are tables with a cell that a spreadsheet would run as a
    formula.  Only the beginning of each table is searched.
    """
    found = (formula_in(name, _beginning(work / FILES / name)) for name in names)
    return [warning for warning in found if warning]


def _beginning(file: Path) -> bytes:
    """The first MOST_TABLE_BYTES of a file, in which formulas are searched.  The complete file may be larger than this
    machine's memory.
    """
    with file.open("rb") as opened:
        return opened.read(MOST_TABLE_BYTES)


def _result(returned: object) -> Result:
    if isinstance(returned, np.ndarray):
        returned = Segmentation(returned)
    if isinstance(returned, Segmentation):
        returned = Result(segmentations=(returned,))
    if not isinstance(returned, Result):
        raise AlgorithmFailed(f"The function returned {type(returned).__name__}; {NEEDED}.")
    return returned


def _segmentations(value: object) -> Iterable[Segmentation]:
    """The segmentations of a Result.  A single segmentation, or a plain array, is accepted in place of a list.  Raises
    AlgorithmFailed for anything else.
    """
    if isinstance(value, Segmentation | np.ndarray):
        value = (value,)
    for found in value if isinstance(value, list | tuple) else (value,):
        if isinstance(found, np.ndarray):
            yield Segmentation(found)
        elif isinstance(found, Segmentation):
            yield found
        else:
            raise AlgorithmFailed(
                f"One of the segmentations is {type(found).__name__}; a Segmentation is needed."
            )


def _mapping(value: object, what: str) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise AlgorithmFailed(
            f"The Result's {what} are {type(value).__name__}; a dictionary by name is needed."
        )
    return value


def _listed(value: object) -> Iterable[object]:
    return (value,) if isinstance(value, str) else tuple(value)  # type: ignore[arg-type]  # whatever a provider wrote


def _map(found: Segmentation, index: int, shape: tuple[int, ...], work: Path) -> OutputImage:
    array = as_labels(found.array, shape)
    labels = _names(found.labels)
    np.save(work / f"labels_{index}.npy", array)
    return OutputImage(
        file=f"labels_{index}.npy",
        called=plain_name(found.called, "A segmentation") if found.called else "",
        labels=tuple(_named(int(v), labels) for v in np.unique(array) if v),
    )


def _names(value: object) -> Mapping[int, str | Label]:
    """The names of labels by value, unchanged.  Raises AlgorithmFailed for keys that are not whole numbers, such as
    "1", because they would name no label.
    """
    wrong = [type(value).__name__]
    if isinstance(value, Mapping):
        wrong = [ascii(key)[:40] for key in value if not isinstance(key, int | np.integer)]
    if wrong:
        raise AlgorithmFailed(
            f"The labels of a segmentation are named by {wrong[0]}; a dictionary by value is needed, such as {{1: 'Liver'}}."
        )
    return value  # type: ignore[return-value]  # checked above


def _named(value: int, labels: Mapping[int, str | Label]) -> NamedLabel:
    label = labels.get(value, default_name(value))
    what = f"The label {value}"
    if isinstance(label, Label):
        return NamedLabel(
            value=value, name=plain_name(label.name, what), rgb=colour(label.rgb, what)
        )
    return NamedLabel(value=value, name=plain_name(label, what))


def _image(
    name: object, array: object, index: int, shape: tuple[int, ...], work: Path
) -> OutputImage:
    called = plain_name(name, "An image")
    values: Array = as_image(array, called, shape)
    np.save(work / f"image_{index}.npy", values)
    return OutputImage(file=f"image_{index}.npy", called=called)


def _mesh(name: object, mesh: object, index: int, work: Path) -> MeshFile:
    called = plain_name(name, "A mesh")
    what = f"The mesh '{called}'"
    if not isinstance(mesh, Mesh):
        raise AlgorithmFailed(f"{what} is {type(mesh).__name__}; a Mesh is needed.")
    points, triangles = mesh_arrays(mesh.points_mm, mesh.triangles, what)
    (work / f"mesh_{index}.vtk").write_bytes(mesh_bytes(points, triangles))
    return MeshFile(file=f"mesh_{index}.vtk", called=called, rgb=colour(mesh.rgb, what))


def _file(name: object, content: object, others: Iterable[str], work: Path) -> str:
    plain = file_name(name, others)
    if not isinstance(content, str | bytes):
        raise AlgorithmFailed(
            f"The file '{plain}' is {type(content).__name__}; text or bytes are needed."
        )
    (work / FILES).mkdir(exist_ok=True)
    data = content.encode(errors="replace") if isinstance(content, str) else content
    (work / FILES / plain).write_bytes(data)
    return plain
