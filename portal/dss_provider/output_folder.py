"""The folder that a program or a container fills with its results.

| file | becomes |
|---|---|
| ``segmentation.nii.gz``, ``segmentation_NAME.nii.gz`` | a segmentation in the image's grid |
| ``image_NAME.nii.gz`` | a further image in the image's grid, such as a probability map |
| ``mesh_NAME.vtk``, ``mesh_NAME.vtp`` | a surface, RAS, mm |
| ``landmarks.csv`` (``name,x,y,z``) | landmarks, LPS, mm |
| ``remarks.txt`` | a warning for each line |
| any other | attached to the ticket's log |

NAME is how ITK-SNAP lists the layer, with ``_`` for a blank.  Instead of ``.nii.gz``, images may be ``.nii``, ``.nrrd`` or
``.mha``.
"""

import csv
import re
import shutil
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from dss_broker.dispatch_section import LabelStyle
from dss_images.mesh.reading import is_mesh_name
from dss_provider.errors import AlgorithmFailed
from dss_provider.images import frames_of, grid_of, read_in_grid
from dss_provider.outcome import (
    FILES,
    AlgorithmOutcome,
    MeshFile,
    NamedLabel,
    OutputImage,
    Point,
    default_name,
)
from dss_provider.output_checks import (
    as_image,
    as_labels,
    file_name,
    plain_name,
    point,
    require_few,
)
from dss_provider.process_output import LONGEST_TEXT, one_line
from dss_provider.return_value import formulas
from dss_workspace.notes import shortened

_KINDS = re.compile(
    r"(segmentation|image|mesh)(?:[_-](.+))?\.(?:nii\.gz|nii|nrrd|mha|vtk|vtp)", re.IGNORECASE
)
LANDMARKS, REMARKS = "landmarks.csv", "remarks.txt"
MOST_REMARKS = 20
MOST_TEXT_BYTES = 2**20


def read_output(
    folder: Path, image: Path, work: Path, styles: Collection[LabelStyle], only: str = ""
) -> AlgorithmOutcome:
    """Read the results in ``folder``, or only its file ``only``.  Arrays and files are written to ``work``; ``styles``
    are the names and colours of labels in ``service.json``.  Raises AlgorithmFailed if there is no result, or one that
    cannot be used.
    """
    names = [only] if only and (folder / only).exists() else _names(folder) if not only else []
    found: dict[str, list[str]] = {"segmentation": [], "image": [], "mesh": [], "file": []}
    for name in names:
        _require_plain(folder / name)
        kind = _KINDS.fullmatch(name)
        found[kind[1].lower() if kind else "file"].append(name)
    others = [name for name in found["file"] if name not in {LANDMARKS, REMARKS}]
    require_few(len(others))
    outcome = AlgorithmOutcome(
        segmentations=tuple(
            _map(folder / name, i, image, work, styles)
            for i, name in enumerate(found["segmentation"])
        ),
        images=tuple(
            _image(folder / name, i, image, work) for i, name in enumerate(found["image"])
        ),
        meshes=tuple(_mesh(folder / name, i, work) for i, name in enumerate(found["mesh"])),
        landmarks=_landmarks(folder / LANDMARKS) if LANDMARKS in names else {},
        files=tuple(_kept(folder / name, others, work) for name in others),
        remarks=_remarks(folder / REMARKS) if REMARKS in names else (),
    )
    if outcome.is_empty:
        needed = "the file {labels}" if only else "a file in the folder {output}"
        raise AlgorithmFailed(f"The program ended without a result; {needed} is needed.")
    return replace(outcome, remarks=(*outcome.remarks, *formulas(outcome.files, work)))


def _names(folder: Path) -> list[str]:
    """The sorted names of the files and links in ``folder``.  Sub-folders and hidden files are ignored."""
    found = (p for p in folder.iterdir() if p.is_symlink() or not p.is_dir())
    return sorted(p.name for p in found if not p.name.startswith("."))


def _require_plain(path: Path) -> None:
    """Raises AlgorithmFailed unless ``path`` is a regular file.  A folder, a device and any link are refused: a
    container's link could lead to any file of this machine.
    """
    if path.is_symlink() or not path.is_file():
        raise AlgorithmFailed(
            f"The program wrote {ascii(path.name)[:80]}, which is a folder, a link or a device; a file is needed."
        )


def _called(path: Path) -> str:
    kind = _KINDS.fullmatch(path.name)
    name = (kind[2] if kind else "") or ""
    return plain_name(name.replace("_", " "), "A result") if name else ""


def _map(
    path: Path, index: int, image: Path, work: Path, styles: Collection[LabelStyle]
) -> OutputImage:
    _require_volume(image, "a segmentation")
    array = as_labels(read_in_grid(path, image, "segmentation"), grid_of(image).size[::-1])
    np.save(work / f"labels_{index}.npy", array)
    known = {s.value: NamedLabel(value=s.value, name=s.name, rgb=s.rgb) for s in styles}
    values = [int(v) for v in np.unique(array) if v]
    labels = tuple(known.get(v, NamedLabel(value=v, name=default_name(v))) for v in values)
    return OutputImage(file=f"labels_{index}.npy", called=_called(path), labels=labels)


def _image(path: Path, index: int, image: Path, work: Path) -> OutputImage:
    _require_volume(image, "an image")
    called = _called(path) or f"Image {index + 1}"
    array = as_image(
        read_in_grid(path, image, f"image '{called}'"), called, grid_of(image).size[::-1]
    )
    np.save(work / f"image_{index}.npy", array)
    return OutputImage(file=f"image_{index}.npy", called=called)


def _require_volume(image: Path, what: str) -> None:
    """Raises AlgorithmFailed if the program got a series, because ``what`` it wrote must lie at one time point."""
    if (count := frames_of(image)) > 1:
        raise AlgorithmFailed(
            f"The program got all {count} time points of the image and has written {what}, which must lie at one of them. "
            "Send one time point as an image of its own, or ask the provider to let you choose one (dispatch.time_point "
            "of service.json)."
        )


def _mesh(path: Path, index: int, work: Path) -> MeshFile:
    if not is_mesh_name(path.name):
        raise AlgorithmFailed(
            f"The program wrote {ascii(path.name)[:80]}; a mesh is a .vtk or a .vtp file."
        )
    name = f"mesh_{index}{path.suffix.lower()}"
    shutil.copyfile(path, work / name)
    return MeshFile(file=name, called=_called(path) or f"Mesh {index + 1}")


def _text(path: Path) -> list[str]:
    _require_plain(path)
    if path.stat().st_size > MOST_TEXT_BYTES:
        raise AlgorithmFailed(f"The program's {path.name} is larger than 1 MB.")
    return path.read_text(encoding="utf-8-sig", errors="replace").splitlines()


def _landmarks(path: Path) -> dict[str, Point]:
    try:
        rows = list(csv.DictReader(_text(path), skipinitialspace=True))
    except csv.Error as error:
        raise AlgorithmFailed(f"{LANDMARKS} cannot be read: {error}.") from error
    found: dict[str, Point] = {}
    for number, row in enumerate(rows, start=2):
        what = f"Line {number} of {LANDMARKS}"
        if not {"name", "x", "y", "z"} <= set(row):
            raise AlgorithmFailed(f"{what} has other columns than name,x,y,z.")
        name = plain_name(row["name"], what)
        if name in found:
            raise AlgorithmFailed(f"{what} is a second landmark '{name}'; each needs its own name.")
        found[name] = point((row["x"], row["y"], row["z"]), f"The landmark '{name}'")
    return found


def _remarks(path: Path) -> tuple[str, ...]:
    lines = (one_line(line)[:LONGEST_TEXT] for line in _text(path))
    return shortened([line for line in lines if line], MOST_REMARKS)


def _kept(path: Path, others: Iterable[str], work: Path) -> str:
    name = file_name(path.name, others)
    (work / FILES).mkdir(exist_ok=True)
    shutil.copyfile(path, work / FILES / name, follow_symlinks=False)
    return name
