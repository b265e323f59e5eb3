"""``python -m dss_provider.child WORK``: one call of a provider's function, in a process of its own.

WORK has ``task.json`` (a Task).  The child writes its progress to the standard output as lines of JSON; output of the
function goes to the error output.  The child writes the result to ``outcome.json``, with arrays in files beside it.  A
crash of this process does not affect the parent.
"""

import importlib.util
import inspect
import json
import os
import resource
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

import msgspec
import numpy as np

from dss_provider.algorithm import CannotSegment, Image, Label, Result, Segmentation
from dss_provider.errors import AlgorithmFailed
from dss_provider.images import as_labels, read_image

OFFERS = ("image", "images", "landmarks", "parameters", "progress")
"""Names of the parameters that a function may have."""


NOT_HOUNSFIELD = "The image has no value below 0. In Hounsfield units air has -1000, so the values may be others, and the result wrong."


@dataclass(frozen=True, kw_only=True)
class Task:
    """The call to make.  ``inputs`` are image files by tag, ``tag`` is that of the main one; ``landmarks`` are LPS, mm;
    ``hounsfield`` says whether the image's values must be Hounsfield units.
    """

    folder: str
    function: str
    tag: str
    inputs: dict[str, str]
    landmarks: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    memory_bytes: int | None = None
    hounsfield: bool = False


@dataclass(frozen=True, kw_only=True)
class Named:
    """A label of a segmentation."""

    value: int
    name: str
    rgb: tuple[int, int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Map:
    """A label map.  ``file`` is a NumPy array (z, y, x) in WORK."""

    file: str
    called: str = ""
    labels: tuple[Named, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a call.  ``error`` is a sentence for the user; if it is set, the other fields are empty."""

    error: str = ""
    segmentations: tuple[Map, ...] = ()
    images: tuple[Map, ...] = ()
    landmarks: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def main() -> None:
    work = Path(sys.argv[1])
    told = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what the function prints is no message
    task = msgspec.json.decode((work / "task.json").read_bytes(), type=Task)
    if task.memory_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (task.memory_bytes, task.memory_bytes))
    outcome = _outcome(task, work, told)
    (work / "outcome.json").write_bytes(msgspec.json.encode(outcome))


def _outcome(task: Task, work: Path, told: TextIO) -> Outcome:
    try:
        return _called(task, work, told)
    except (AlgorithmFailed, CannotSegment) as error:
        return Outcome(error=str(error))
    except MemoryError:
        return Outcome(error="The algorithm needed more memory than it may have.")
    except BaseException as error:
        traceback.print_exc()
        return Outcome(error=_crash(error, Path(task.folder)))


def _crash(error: BaseException, folder: Path) -> str:
    """A sentence about an error of the provider's code, with the last line of it in the traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
    where = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    text = f": {error}" if str(error) else ""
    return f"The algorithm failed with {type(error).__name__}{text}{where}."


def _called(task: Task, work: Path, told: TextIO) -> Outcome:
    function = _function(task)
    images = {tag: read_image(Path(path)) for tag, path in task.inputs.items()}
    offered = {
        "image": images[task.tag],
        "images": images,
        "landmarks": task.landmarks,
        "parameters": task.parameters,
        "progress": _progress(told),
    }
    wanted = {
        name: offered[name] for name in inspect.signature(function).parameters if name in offered
    }
    outcome = _kept(function(**wanted), images[task.tag], work)
    if task.hounsfield and images[task.tag].array.min() >= 0:
        outcome = replace(outcome, remarks=(NOT_HOUNSFIELD, *outcome.remarks))
    return outcome


def _function(task: Task) -> Callable[..., object]:
    """The provider's function.  Raises AlgorithmFailed if it does not exist, or if it has a parameter that is not in
    OFFERS.
    """
    file, _, name = task.function.partition(":")
    function: Callable[..., object] | None = getattr(_module(Path(task.folder), file), name, None)
    if not callable(function):
        raise AlgorithmFailed(f"{file} has no function {name}.")
    needed = [
        p.name
        for p in inspect.signature(function).parameters.values()
        if p.default is p.empty and p.kind not in {p.VAR_POSITIONAL, p.VAR_KEYWORD}
    ]
    if unknown := [name for name in needed if name not in OFFERS]:
        raise AlgorithmFailed(
            f"{name} asks for '{unknown[0]}'; it may ask for {', '.join(OFFERS)}."
        )
    return function


def _module(folder: Path, file: str) -> ModuleType:
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location(Path(file).stem, folder / file)
    if spec is None or spec.loader is None:
        raise AlgorithmFailed(f"{file} cannot be imported; it must be a file of Python.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _progress(told: TextIO) -> Callable[..., None]:
    def progress(fraction: float, text: str = "") -> None:
        told.write(
            json.dumps({"fraction": min(max(float(fraction), 0.0), 1.0), "text": text}) + "\n"
        )

    return progress


def _kept(returned: object, image: Image, work: Path) -> Outcome:
    result = _result(returned)
    shape = image.array.shape[:3]
    maps = tuple(_map(s, i, shape, work) for i, s in enumerate(result.segmentations))
    images = tuple(_image(n, a, i, shape, work) for i, (n, a) in enumerate(result.images.items()))
    for name, content in result.files.items():
        _keep_file(work, name, content)
    return Outcome(
        segmentations=maps,
        images=images,
        landmarks={str(text): _point(point) for text, point in result.landmarks.items()},
        files=tuple(result.files),
        remarks=tuple(str(remark) for remark in result.remarks),
    )


def _result(returned: object) -> Result:
    if isinstance(returned, np.ndarray):
        returned = Segmentation(returned)
    if isinstance(returned, Segmentation):
        returned = Result(segmentations=(returned,))
    if not isinstance(returned, Result):
        raise AlgorithmFailed(
            f"The function returned {type(returned).__name__}; a Segmentation, a Result or an array is needed."
        )
    if not returned.segmentations:
        raise AlgorithmFailed("The function returned a Result without a segmentation.")
    return returned


def _map(found: Segmentation, index: int, shape: tuple[int, ...], work: Path) -> Map:
    array = as_labels(found.array, shape)
    np.save(work / f"labels_{index}.npy", array)
    return Map(
        file=f"labels_{index}.npy",
        called=found.called,
        labels=tuple(_named(int(v), found.labels) for v in np.unique(array) if v),
    )


def _named(value: int, labels: Mapping[int, str | Label]) -> Named:
    label = labels.get(value, f"Label {value}")
    if isinstance(label, Label):
        return Named(value=value, name=label.name, rgb=label.rgb)
    return Named(value=value, name=str(label))


def _image(name: str, array: Any, index: int, shape: tuple[int, ...], work: Path) -> Map:
    values = np.asarray(array)
    if values.shape != shape:
        raise AlgorithmFailed(
            f"The image '{name}' has the shape {values.shape}, not {shape} (z, y, x)."
        )
    np.save(
        work / f"image_{index}.npy",
        values.astype(np.float32) if values.dtype.kind == "f" else values,
    )
    return Map(file=f"image_{index}.npy", called=name)


def _point(point: tuple[float, float, float]) -> tuple[float, float, float]:
    x, y, z = (float(number) for number in point)
    return (x, y, z)


def _keep_file(work: Path, name: str, content: str | bytes) -> None:
    if Path(name).name != name or name in {"", ".", ".."}:
        raise AlgorithmFailed(f"'{name}' is no plain name of a file.")
    folder = work / "files"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


if __name__ == "__main__":
    main()
