"""Runs a function, a program or a container for one ticket, in a process of its own and with limits."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from dss_broker.dispatch_section import IMAGE, LABELS, Dispatch, Modality, Provider
from dss_provider.child import Map, Named, Outcome, Task
from dss_provider.errors import AlgorithmFailed, Withdrawn
from dss_provider.folder import ENGINES, Folder
from dss_provider.images import as_labels, grid_of, read_labels

LOOK_S = 0.1
DETAIL_CHARS = 4000

Told = Callable[[float, str], None]


@dataclass(frozen=True, kw_only=True)
class Work:
    """The input of a run.  ``inputs`` are image files by tag; output is written to ``folder``."""

    folder: Path
    inputs: Mapping[str, Path]
    landmarks: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)


def run(service: Folder, work: Work, told: Told, ended: threading.Event) -> Outcome:
    """Run the algorithm and return its outcome.

    ``told`` is called with its progress.  Raises AlgorithmFailed with a sentence for the user, and Withdrawn if
    ``ended`` is set meanwhile.
    """
    if service.dispatch.provider is Provider.PYTHON:
        return _python(service, work, told, ended)
    return _program(service, work, told, ended)


def _python(service: Folder, work: Work, told: Told, ended: threading.Event) -> Outcome:
    dispatch = service.dispatch
    task = Task(
        folder=str(service.path.resolve()),
        function=dispatch.function,
        tag=dispatch.tag,
        inputs={tag: str(path) for tag, path in work.inputs.items()},
        landmarks=dict(work.landmarks),
        parameters=dispatch.parameters,
        memory_bytes=_bytes(dispatch),
        hounsfield=dispatch.modality is Modality.CT,
    )
    (work.folder / "task.json").write_bytes(msgspec.json.encode(task))
    words = [sys.executable, "-m", "dss_provider.child", str(work.folder)]
    detail = _finished(words, service, told, ended)
    try:
        outcome = msgspec.json.decode((work.folder / "outcome.json").read_bytes(), type=Outcome)
    except (OSError, msgspec.MsgspecError) as error:
        raise AlgorithmFailed("The algorithm ended without a result.", detail) from error
    if outcome.error:
        raise AlgorithmFailed(outcome.error, detail)
    return outcome


def _program(service: Folder, work: Work, told: Told, ended: threading.Event) -> Outcome:
    """Run a program that reads the image and writes a label map; the label names come from ``service.json``."""
    dispatch = service.dispatch
    image, labels = work.inputs[dispatch.tag], work.folder / "labels.nii.gz"
    if dispatch.provider is Provider.CONTAINER:
        words = _container(dispatch, image, work.folder)
    else:
        words = _filled(dispatch.command, str(image), str(labels))
    detail = _finished(words, service, told, ended)
    try:
        array = as_labels(read_labels(labels, image), tuple(reversed(grid_of(image).size)))
    except AlgorithmFailed as error:
        raise AlgorithmFailed(str(error), detail) from error
    np.save(work.folder / "labels_0.npy", array)
    styles = {s.value: Named(value=s.value, name=s.name, rgb=s.rgb) for s in dispatch.labels}
    values = [int(v) for v in np.unique(array) if v]
    named = tuple(styles.get(v, Named(value=v, name=f"Label {v}")) for v in values)
    return Outcome(segmentations=(Map(file="labels_0.npy", labels=named),))


def _filled(command: Sequence[str], image: str, labels: str) -> list[str]:
    return [word.replace(IMAGE, image).replace(LABELS, labels) for word in command]


def _container(dispatch: Dispatch, image: Path, folder: Path) -> list[str]:
    """The command for a container without a network, with a read-only root and the image mounted read-only."""
    engine = next((e for e in ENGINES if shutil.which(e)), None)
    if engine is None:
        raise AlgorithmFailed("The provider's machine has neither podman nor docker.")
    options = ["run", "--rm", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"]  # noqa: S108  (the container's own)
    if not dispatch.network:
        options += ["--network", "none"]
    if dispatch.gpu:
        options += ["--device", "nvidia.com/gpu=all"]
    if dispatch.memory_gb:
        options += ["--memory", f"{_bytes(dispatch)}b"]
    volumes = ["--volume", f"{image}:/input/{image.name}:ro", "--volume", f"{folder}:/output"]
    command = _filled(dispatch.command, f"/input/{image.name}", "/output/labels.nii.gz")
    return [engine, *options, *volumes, dispatch.image, *command]


def _bytes(dispatch: Dispatch) -> int | None:
    return int(dispatch.memory_gb * 2**30) if dispatch.memory_gb else None


def _finished(words: list[str], service: Folder, told: Told, ended: threading.Event) -> str:
    """Run a process to its end, and return the end of its error output.  Raises AlgorithmFailed or Withdrawn."""
    try:
        process = subprocess.Popen(
            words,
            cwd=service.path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise AlgorithmFailed(f"{words[0]} cannot be started: {error.strerror}.") from error
    with process:
        _limit(process, service.dispatch)
        heard = _Heard(process, told)
        try:
            _wait(process, service.dispatch.time_s, ended)
        finally:
            _end(process)
            heard.join()
        _check(process.returncode, service.dispatch, heard.detail)
        return heard.detail


class _Heard:
    """Reads the output of a process in two threads: its progress, and the end of its error output."""

    def __init__(self, process: "subprocess.Popen[str]", told: Told) -> None:
        self.detail = ""
        self._told = told
        self._threads = [
            threading.Thread(target=self._progress, args=(process.stdout,), daemon=True),
            threading.Thread(target=self._errors, args=(process.stderr,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(5)

    def _progress(self, lines: Sequence[str]) -> None:
        for line in lines:
            with suppress(ValueError, TypeError, KeyError):
                found = json.loads(line)
                self._told(float(found["fraction"]), str(found.get("text", "")))

    def _errors(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.detail = (self.detail + line)[-DETAIL_CHARS:]


def _limit(process: "subprocess.Popen[str]", dispatch: Dispatch) -> None:
    """Limit the memory of a program.  A function sets its own limit, and the container engine that of a container."""
    if dispatch.provider is Provider.PROGRAM and (limit := _bytes(dispatch)):
        import resource  # noqa: PLC0415  (Windows has none)

        with suppress(ProcessLookupError):
            resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, limit))


def _wait(process: "subprocess.Popen[str]", time_s: float | None, ended: threading.Event) -> None:
    end_s = time.monotonic() + (time_s or float("inf"))
    while process.poll() is None:
        if ended.wait(LOOK_S):
            raise Withdrawn
        if time.monotonic() > end_s:
            raise AlgorithmFailed(f"The algorithm took longer than the {time_s:g} s that it may.")


def _end(process: "subprocess.Popen[str]") -> None:
    """Kill the process and its whole process group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _check(status: int, dispatch: Dispatch, detail: str) -> None:
    if status == 0:
        return
    if status < 0:
        name = signal.Signals(-status).name
        limit = f" It may use {dispatch.memory_gb:g} GB." if dispatch.memory_gb else ""
        raise AlgorithmFailed(f"The algorithm was ended by the signal {name}.{limit}", detail)
    raise AlgorithmFailed(f"The algorithm ended with status {status}.", detail)
