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
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TextIO

import msgspec

from dss_datastore.space import is_disk_full
from dss_provider.algorithm import CannotSegment, Progress
from dss_provider.errors import AlgorithmFailed
from dss_provider.images import read_image
from dss_provider.outcome import PARAMETERS, AlgorithmOutcome, Task
from dss_provider.process_output import LONGEST_TEXT, one_line
from dss_provider.return_value import store_return_value

NOT_HOUNSFIELD = "The image has no value below 0. In Hounsfield units air has -1000, so the values may be others, and the result wrong."
DISK_FULL = "The disk of the provider's machine is full; please try again later."


def main() -> None:
    work = Path(sys.argv[1])
    progress_stream = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # output of the function must not be mixed with messages
    task = msgspec.json.decode((work / "task.json").read_bytes(), type=Task)
    if task.memory_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (task.memory_bytes, task.memory_bytes))
    outcome = _outcome(task, work, progress_stream)
    _end_copy()
    _leave(outcome, work)
    sys.stderr.flush()
    os._exit(0)  # also if the function has left threads running


def _end_copy(original: int = os.getpid()) -> None:
    """End this process if it is a copy that the provider's function has made by a fork."""
    if os.getpid() != original:
        os._exit(0)


def _leave(outcome: AlgorithmOutcome, work: Path) -> None:
    """Write ``outcome`` into ``work``.  The file gets its name when it is complete."""
    draft = work / "outcome.new"
    draft.write_bytes(msgspec.json.encode(outcome))
    draft.replace(work / "outcome.json")


def _outcome(task: Task, work: Path, progress_stream: TextIO) -> AlgorithmOutcome:
    try:
        return _called(task, work, progress_stream)
    except (AlgorithmFailed, CannotSegment) as error:
        return AlgorithmOutcome(
            error=one_line(str(error)) or "The algorithm cannot segment this image."
        )
    except MemoryError:
        traceback.print_exc()
        limit = f" ({task.memory_bytes / 2**30:g} GB)" if task.memory_bytes else ""
        return AlgorithmOutcome(error=f"The algorithm needed more memory than it may have{limit}.")
    except BaseException as error:
        traceback.print_exc()
        if is_disk_full(error):
            return AlgorithmOutcome(error=DISK_FULL)
        return AlgorithmOutcome(error=_crash(error, Path(task.folder)))


def _crash(error: BaseException, folder: Path) -> str:
    """A sentence about an error in the provider's code, with the file and line of that code at which the error
    occurred.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
    where = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    text = f": {reason}" if (reason := one_line(str(error))[:300]) else ""
    return f"The algorithm failed with {type(error).__name__}{text}{where}."


def _called(task: Task, work: Path, progress_stream: TextIO) -> AlgorithmOutcome:
    function = _function(task)
    if not task.inputs:
        return AlgorithmOutcome()
    images = {tag: read_image(Path(path)) for tag, path in task.inputs.items()}
    offered = {
        "image": images[task.tag],
        "images": images,
        "landmarks": task.landmarks,
        "parameters": task.parameters,
        "progress": _progress(progress_stream),
    }
    wanted = {
        name: offered[name] for name in inspect.signature(function).parameters if name in offered
    }
    returned = function(**wanted)
    _end_copy()
    outcome = store_return_value(returned, images[task.tag], work)
    if task.hounsfield and images[task.tag].array.min() >= 0:
        outcome = replace(outcome, remarks=(NOT_HOUNSFIELD, *outcome.remarks))
    return outcome


def _function(task: Task) -> Callable[..., object]:
    """The provider's function.  Raises AlgorithmFailed if its file is not one of Python, if the file has no such
    function, or if a parameter without a default value is not in PARAMETERS.  Errors of the provider's code are let
    through.
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
    if unknown := [name for name in needed if name not in PARAMETERS]:
        raise AlgorithmFailed(
            f"{name} asks for '{unknown[0]}'; it may ask for {', '.join(PARAMETERS)}."
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


def _progress(progress_stream: TextIO) -> Progress:
    def progress(fraction: float, text: str = "") -> None:
        message = {"fraction": float(fraction), "text": one_line(str(text))[:LONGEST_TEXT]}
        with suppress(OSError):  # without a reader the algorithm continues
            progress_stream.write(json.dumps(message) + "\n")

    return progress


if __name__ == "__main__":
    main()
