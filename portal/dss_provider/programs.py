"""Runs a program or a container image on a ticket's images."""

import shutil
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from dss_broker.dispatch_section import IMAGE, LABELS, OUTPUT, Dispatch, Provider
from dss_provider import containers, launcher
from dss_provider.errors import AlgorithmFailed
from dss_provider.folder import ServiceFolder
from dss_provider.outcome import Outcome
from dss_provider.output_folder import read_output
from dss_provider.processes import Ending, Limits, Told, run_process

SEGMENTATION = "segmentation.nii.gz"


def run_program(
    service: ServiceFolder, image: Path, work: Path, told: Told, ended: threading.Event
) -> Outcome:
    """The program reads ``image`` and writes into a folder below ``work``.  Raises AlgorithmFailed and Withdrawn."""
    output = work / "output"
    output.mkdir()
    output.chmod(0o777)  # a container may run as another user; nobody else gets into ``work``
    dispatch = service.dispatch
    if dispatch.provider is Provider.CONTAINER:
        ending = _contained(service, image, work, told, ended)
    else:
        limits = Limits(time_s=dispatch.time_s, memory_bytes=dispatch.memory_bytes)
        words = filled(dispatch, str(image), str(output))
        ending = run_process(words, service.path, limits, told, ended)
    _check(ending, dispatch)
    only = "" if takes_folder(dispatch) else SEGMENTATION
    try:
        return read_output(output, image, work, dispatch.labels, only)
    except AlgorithmFailed as error:
        raise AlgorithmFailed(str(error), ending.detail) from error


def takes_folder(dispatch: Dispatch) -> bool:
    return any(OUTPUT in word for word in dispatch.command)


def filled(dispatch: Dispatch, image: str, output: str) -> list[str]:
    """The command with its paths."""
    paths: Mapping[str, str] = {IMAGE: image, LABELS: f"{output}/{SEGMENTATION}", OUTPUT: output}
    words = []
    for word in dispatch.command:
        for mark, path in paths.items():
            word = word.replace(mark, path)  # noqa: PLW2901  (one after the other)
        words.append(word)
    return words


def _contained(
    service: ServiceFolder, image: Path, work: Path, told: Told, ended: threading.Event
) -> Ending:
    if not containers.engine():
        raise AlgorithmFailed("The provider's machine has neither podman nor docker.")
    dispatch, sent = service.dispatch, work / "input"
    sent.mkdir()
    run = containers.Container(
        name=f"dss-{uuid4().hex[:16]}",
        dispatch=dispatch,
        image=sent / f"image{_suffix(image)}",
        output=work / "output",
    )
    shutil.copyfile(image, run.image)  # under a plain name, and the engine may relabel it
    run.image.chmod(0o644)
    words = [*run.words, *filled(dispatch, run.image_inside, containers.OUTPUT)]
    with containers.removed(run.name):
        return run_process(words, service.path, Limits(time_s=dispatch.time_s), told, ended)


def _suffix(image: Path) -> str:
    return ".nii.gz" if image.name.lower().endswith(".nii.gz") else image.suffix.lower()


def _check(ending: Ending, dispatch: Dispatch) -> None:
    """Raises AlgorithmFailed unless the program ended well."""
    if ending.status == 0:
        return
    is_container = dispatch.provider is Provider.CONTAINER
    if is_container and ending.status in containers.NOT_STARTED:
        raise AlgorithmFailed("The container could not be started.", ending.detail)
    if ending.status == launcher.CANNOT_START and "cannot be started:" in ending.detail:
        raise AlgorithmFailed(ending.detail.strip().splitlines()[-1])
    raise AlgorithmFailed(ended_badly(ending.status, dispatch), ending.detail)


def ended_badly(status: int, dispatch: Dispatch) -> str:
    """A sentence on an exit status as the shell gives it."""
    try:
        name = signal.Signals(status - 128).name if status > 128 else ""
    except ValueError:
        name = ""
    if not name:
        return f"The algorithm ended with status {status}."
    limit = f" It may use {dispatch.memory_gb:g} GB." if dispatch.memory_gb else ""
    return f"The algorithm was ended by the signal {name}.{limit}"
