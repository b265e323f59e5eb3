"""Runs a service's algorithm, which is a function, a program or a container, for one ticket, in a process of its own
and with limits.
"""

import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from dss_broker.dispatch_section import Dispatch, LabelStyle, Modality, ProviderKind
from dss_datastore.space import has_free
from dss_provider.child import DISK_FULL
from dss_provider.errors import AlgorithmFailed, ServiceInvalid
from dss_provider.folder import ServiceFolder
from dss_provider.images import ALMOST_FULL_BYTES
from dss_provider.outcome import AlgorithmOutcome, NamedLabel, OutputImage, Point, Task
from dss_provider.processes import Ending, ProcessLimits, ProgressListener, run_process
from dss_provider.programs import ProgramInput, failure_sentence, run_program, scratch

LOADING_S = 300.0
"""Time limit for importing the file of a function, in seconds."""


@dataclass(frozen=True, kw_only=True)
class RunInput:
    """The input of a run.  ``inputs`` are image files by tag; ``landmarks`` are in LPS, mm, by tag; the output is
    written to ``folder``.
    """

    folder: Path
    inputs: Mapping[str, Path]
    landmarks: Mapping[str, Point] = field(default_factory=dict)


def run(
    service: ServiceFolder, work: RunInput, on_progress: ProgressListener, ended: threading.Event
) -> AlgorithmOutcome:
    """Run the algorithm and return its outcome.  ``on_progress`` is called with the progress, and must return at once.

    Raises AlgorithmFailed, with a sentence for the user, and Withdrawn if ``ended`` is set meanwhile.
    """
    with _unchanged(work.inputs):
        if service.dispatch.provider is ProviderKind.PYTHON:
            return _python(service, work, on_progress, ended)
        program_input = ProgramInput(images=work.inputs, landmarks=work.landmarks, work=work.folder)
        return run_program(service, program_input, on_progress, ended)


def require_loadable(service: ServiceFolder) -> None:
    """Import the file of a Python function in a process of its own, as for a ticket, without calling the function; does
    nothing for other kinds of provider.  Raises ServiceInvalid if that fails or takes longer than LOADING_S.
    """
    dispatch = service.dispatch
    if dispatch.provider is not ProviderKind.PYTHON:
        return
    loading = replace(service, dispatch=replace(dispatch, time_s=LOADING_S))
    try:
        with tempfile.TemporaryDirectory(prefix="dss-check-") as folder:
            work = RunInput(folder=Path(folder), inputs={})
            _python(loading, work, lambda _fraction, _text: None, threading.Event())
    except AlgorithmFailed as error:
        detail = f"{error.detail.strip()}\n" if error.detail.strip() else ""
        raise ServiceInvalid(
            f"{detail}dispatch.function: {dispatch.function.partition(':')[0]} cannot be loaded. {error}"
        ) from error


@contextmanager
def _unchanged(inputs: Mapping[str, Path]) -> Iterator[None]:
    """A context that raises AlgorithmFailed at its end if one of the files was changed or removed in it, also in place
    of an AlgorithmFailed or OSError of the block.  Other errors pass.
    """
    before, detail = _stamps(inputs), ""
    try:
        yield
    except (AlgorithmFailed, OSError) as error:
        if _stamps(inputs) == before:
            raise
        detail = error.detail if isinstance(error, AlgorithmFailed) else ""
    if _stamps(inputs) != before:
        raise AlgorithmFailed(CHANGED, detail)


def _stamps(inputs: Mapping[str, Path]) -> dict[str, tuple[int, ...]]:
    """Size, modification time and inode of each file by tag, which change with its content.  Files that are gone are
    missing.
    """
    found: dict[str, tuple[int, ...]] = {}
    for tag, path in inputs.items():
        with suppress(OSError):
            stat = path.stat()
            found[tag] = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
    return found


def _python(
    service: ServiceFolder, work: RunInput, on_progress: ProgressListener, ended: threading.Event
) -> AlgorithmOutcome:
    dispatch = service.dispatch
    (work.folder / "task.json").write_bytes(msgspec.json.encode(_task(service, work)))
    words = [sys.executable, "-m", "dss_provider.child", str(work.folder)]
    limits = ProcessLimits(time_s=dispatch.time_s, scratch=scratch(work.folder))
    ending = run_process(words, service.path, limits, on_progress, ended)
    outcome = _read_outcome(work.folder, ending, dispatch)
    if outcome.error:
        raise AlgorithmFailed(outcome.error, ending.detail)
    styles = {style.value: style for style in dispatch.labels}
    maps = tuple(_styled(found, styles) for found in outcome.segmentations)
    return replace(outcome, segmentations=maps)


def _task(service: ServiceFolder, work: RunInput) -> Task:
    """What the child process reads to call the function of the service."""
    dispatch = service.dispatch
    return Task(
        folder=str(service.path.resolve()),
        function=dispatch.function,
        tag=dispatch.tag,
        inputs={tag: str(path) for tag, path in work.inputs.items()},
        landmarks=dict(work.landmarks),
        parameters=dispatch.parameters,
        memory_bytes=dispatch.memory_bytes,
        hounsfield=dispatch.modality is Modality.CT,
    )


def _read_outcome(folder: Path, ending: Ending, dispatch: Dispatch) -> AlgorithmOutcome:
    """The outcome that the child process wrote into ``folder``.  Raises AlgorithmFailed with the reason if there is
    none that can be read.
    """
    try:
        return msgspec.json.decode((folder / "outcome.json").read_bytes(), type=AlgorithmOutcome)
    except (OSError, msgspec.MsgspecError) as error:
        if not has_free(folder, ALMOST_FULL_BYTES):
            raise AlgorithmFailed(DISK_FULL, ending.detail) from error
        how = failure_sentence(ending.status, dispatch) if ending.status else _NOTHING
        raise AlgorithmFailed(how, ending.detail) from error


_NOTHING = "The algorithm ended without a result."
CHANGED = (
    "The algorithm has changed or removed the image that it was given, which is sent back with the result; it may only "
    "read it."
)


def _styled(found: OutputImage, styles: Mapping[int, LabelStyle]) -> OutputImage:
    """The label map with the names and colours that ``service.json`` gives for its labels.  They take precedence,
    because a site may change them there.
    """
    labels = tuple(
        NamedLabel(value=n.value, name=s.name, rgb=s.rgb or n.rgb)
        if (s := styles.get(n.value))
        else n
        for n in found.labels
    )
    return replace(found, labels=labels)
