"""Runs a provider's program or container image on a ticket's images, and reads its results."""

import json
import re
import shutil
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dss_broker.dispatch_section import (
    IMAGE,
    IMAGE_OF,
    LABELS,
    OUTPUT,
    PARAMETERS,
    Dispatch,
    ProviderKind,
)
from dss_provider import containers, launcher
from dss_provider.errors import AlgorithmFailed
from dss_provider.folder import ServiceFolder
from dss_provider.outcome import AlgorithmOutcome, Point
from dss_provider.output_folder import read_output
from dss_provider.processes import Ending, ProcessLimits, ProgressListener, run_process

SEGMENTATION = "segmentation.nii.gz"
PARAMETERS_FILE = "parameters.json"


@dataclass(frozen=True, kw_only=True)
class ProgramInput:
    """The input of a program.  ``images`` are files by tag; ``landmarks`` are in LPS, mm, by tag.  The program's output
    is stored in a folder below ``work``.
    """

    images: Mapping[str, Path]
    landmarks: Mapping[str, Point]
    work: Path

    @property
    def output(self) -> Path:
        return self.work / "output"


def run_program(
    service: ServiceFolder,
    program_input: ProgramInput,
    on_progress: ProgressListener,
    ended: threading.Event,
) -> AlgorithmOutcome:
    """Run a program or container that reads images and writes its results to a folder below ``program_input.work``.
    Raises AlgorithmFailed, and Withdrawn if ``ended`` is set meanwhile.
    """
    program_input.output.mkdir()
    # A container may run as another user; others cannot enter ``work``.
    program_input.output.chmod(0o777)
    dispatch, work = service.dispatch, program_input.work
    is_container = dispatch.provider is ProviderKind.CONTAINER
    run_in = _contained if is_container else _as_process
    ending = run_in(service, program_input, on_progress, ended)
    _check(ending, dispatch)
    only = "" if dispatch.takes_folder else SEGMENTATION
    image = program_input.images[dispatch.tag]
    try:
        return read_output(program_input.output, image, work, dispatch.labels, only)
    except AlgorithmFailed as error:
        raise AlgorithmFailed(str(error), ending.detail) from error


def _as_process(
    service: ServiceFolder,
    program_input: ProgramInput,
    on_progress: ProgressListener,
    ended: threading.Event,
) -> Ending:
    dispatch, work = service.dispatch, program_input.work
    limits = ProcessLimits(
        time_s=dispatch.time_s, memory_bytes=dispatch.memory_bytes, scratch=scratch(work)
    )
    images = {tag: str(path) for tag, path in program_input.images.items()}
    landmarks = program_input.landmarks
    parameters = _written_parameters(work / PARAMETERS_FILE, dispatch, landmarks)
    words = fill_placeholders(dispatch, images, str(program_input.output), str(parameters))
    return run_process(words, service.path, limits, on_progress, ended)


def _written_parameters(path: Path, dispatch: Dispatch, landmarks: Mapping[str, Point]) -> Path:
    content = {"parameters": dispatch.parameters, "landmarks": dict(landmarks)}
    path.write_text(json.dumps(content), encoding="utf-8")
    path.chmod(0o644)
    return path


def scratch(work: Path) -> Path:
    """Make a folder in ``work`` for temporary files.  It is removed together with ``work``."""
    folder = work / "tmp"
    folder.mkdir()
    return folder


def fill_placeholders(
    dispatch: Dispatch, images: Mapping[str, str], output: str, parameters: str
) -> list[str]:
    """The words of the service's command, with the placeholders replaced by the paths that the program sees."""
    paths = {IMAGE_OF.format(tag): path for tag, path in images.items()} | {
        IMAGE: images[dispatch.tag],
        LABELS: f"{output}/{SEGMENTATION}",
        OUTPUT: output,
        PARAMETERS: parameters,
    }
    mark = re.compile("|".join(re.escape(word) for word in paths))
    return [mark.sub(lambda found: paths[found[0]], word) for word in dispatch.command]


def _contained(
    service: ServiceFolder,
    program_input: ProgramInput,
    on_progress: ProgressListener,
    ended: threading.Event,
) -> Ending:
    if not containers.engine():
        raise AlgorithmFailed("The provider's machine has no engine for containers any more.")
    dispatch, sent = service.dispatch, program_input.work / "input"
    sent.mkdir()
    inside = {}
    for i, (tag, path) in enumerate(program_input.images.items()):
        name = f"image_{i}{_suffix(path)}"
        shutil.copyfile(path, sent / name)  # a copy has a plain name, and the engine may relabel it
        (sent / name).chmod(0o644)
        inside[tag] = f"{containers.INPUT}/{name}"
    _written_parameters(sent / PARAMETERS_FILE, dispatch, program_input.landmarks)
    run = containers.Container(
        name=containers.new_name(), dispatch=dispatch, sent=sent, output=program_input.output
    )
    parameters = f"{containers.INPUT}/{PARAMETERS_FILE}"
    words = [*run.words, *fill_placeholders(dispatch, inside, containers.OUTPUT, parameters)]
    limits = ProcessLimits(time_s=dispatch.time_s)
    try:
        with containers.removed(run.name):
            return run_process(words, service.path, limits, on_progress, ended)
    finally:
        containers.make_accessible(program_input.output)


def _suffix(image: Path) -> str:
    return ".nii.gz" if image.name.lower().endswith(".nii.gz") else image.suffix.lower()


def _check(ending: Ending, dispatch: Dispatch) -> None:
    """Raises AlgorithmFailed unless the program ended with status 0."""
    if ending.status == 0:
        return
    is_container = dispatch.provider is ProviderKind.CONTAINER
    if is_container and ending.status in containers.NO_COMMAND:
        text = f"The container has no such command, or cannot run it (status {ending.status})."
        raise AlgorithmFailed(text, ending.detail)
    if is_container and ending.status == containers.NOT_STARTED:
        gone = (
            ""
            if containers.has_image(dispatch.image)
            else f" Its image '{dispatch.image}' has gone."
        )
        raise AlgorithmFailed(f"The container could not be started.{gone}", ending.detail)
    if ending.status == launcher.CANNOT_START and "cannot be started:" in ending.detail:
        raise AlgorithmFailed(ending.detail.strip().splitlines()[-1])
    raise AlgorithmFailed(failure_sentence(ending.status, dispatch), ending.detail)


def failure_sentence(status: int, dispatch: Dispatch) -> str:
    """A sentence about the exit status of a failed algorithm.  ``status`` is as in a shell: 128 plus the signal's
    number.
    """
    try:
        name = signal.Signals(status - 128).name if status > 128 else ""
    except ValueError:
        name = ""
    if not name:
        return f"The algorithm ended with status {status}."
    limit = f" It may use {dispatch.memory_gb:g} GB." if dispatch.memory_gb else ""
    return f"The algorithm was ended by the signal {name}.{limit}"
