"""Runs a provider's container image with podman or docker, and removes the container afterwards."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from dss_broker.dispatch_section import Dispatch
from dss_provider import process_marks

ENGINES = ("podman", "docker")
CHOICE = "DSS_CONTAINER_ENGINE"
"""Environment variable with the engine to use, if a machine has both."""
END_S = 60.0
LATER_S = 30
"""podman ends a container by itself this many seconds after its time limit, in case the publisher has died."""
INPUT, OUTPUT = "/input", "/output"

MOST_PROCESSES = 4096

NOT_STARTED = 125
"""Exit status of an engine that could not start the container."""
NO_COMMAND = (126, 127)
"""Exit statuses if the container has no such command, or cannot run it."""


def engine() -> str:
    """The name of the container engine to use: the one in the environment variable CHOICE, otherwise podman or docker;
    "" if it is not installed.
    """
    chosen = os.environ.get(CHOICE, "").strip()
    return next((e for e in ((chosen,) if chosen else ENGINES) if shutil.which(e)), "")


def engine_fault() -> str:
    """A sentence that says why this machine cannot run containers; "" if it can."""
    if not engine():
        chosen = os.environ.get(CHOICE, "").strip()
        return f"this machine has no {chosen or 'podman and no docker'}."
    done = _run_engine("version")
    if done is not None and done.returncode == 0:
        return ""
    stderr = done.stderr.decode(errors="replace").strip() if done else "no answer"
    last = stderr.splitlines()[-1][:300] if stderr else "no reason was given"
    return f"{engine()} does not run containers: {last}"


def has_image(image: str) -> bool:
    done = _run_engine("image", "inspect", image)
    return done is not None and done.returncode == 0


def new_name() -> str:
    """A new name for a container of this process, by which a later publisher recognizes it if this process is killed."""
    return f"{_publisher()}-{uuid4().hex[:12]}"


def end_orphans(*, and_own: bool = False) -> None:
    """Remove the containers that killed publishers of this machine have left running; with ``and_own``, those of this
    process, too.
    """
    done = _run_engine("ps", "--all", "--filter", f"name={_machine()}-", "--format", "{{.Names}}")
    for name in done.stdout.decode(errors="replace").split() if done else ():
        publisher = name.rpartition("-")[0]
        marked = publisher.removeprefix(f"{_machine()}-")
        is_orphan = process_marks.is_orphan(marked, and_own=and_own)
        if name.startswith(f"{_machine()}-") and is_orphan:
            _run_engine("rm", "--force", name)


def _publisher() -> str:
    return f"{_machine()}-{process_marks.mark()}"


def _machine() -> str:
    """The prefix of this machine's container names.  It differs between machines, because several machines may use one
    engine.
    """
    return f"dss-{process_marks.machine()}"


def _run_engine(*words: str) -> "subprocess.CompletedProcess[bytes] | None":
    """The result of running the engine with ``words``, of any exit status; None if the engine cannot be started, or if
    it does not end within END_S.
    """
    with suppress(OSError, subprocess.TimeoutExpired):
        command = [engine(), *words]
        return subprocess.run(command, capture_output=True, check=False, timeout=END_S)
    return None


@dataclass(frozen=True, kw_only=True)
class Container:
    """One run of the service's image.  The container can read the folder ``sent`` (as ``/input``) and write to the
    folder ``output`` (as ``/output``).  It has no network and no other rights unless the service requests them.
    """

    name: str
    dispatch: Dispatch
    sent: Path
    output: Path

    @property
    def words(self) -> list[str]:
        """The engine's command line up to the image's name; the command to run inside the container is to be appended."""
        dispatch = self.dispatch
        options = ["run", "--rm", "--name", self.name, "--read-only", "--tmpfs", "/tmp"]  # noqa: S108  (the container's own)
        options += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        options += ["--pull", "never", "--pids-limit", str(MOST_PROCESSES), "--log-driver", "none"]
        if not dispatch.network:
            options += ["--network", "none"]
        is_docker = Path(engine()).name == "docker"
        if is_docker and os.geteuid():  # otherwise its files would belong to the machine's root
            options += ["--user", f"{os.geteuid()}:{os.getegid()}"]
        if dispatch.gpu:
            options += ["--gpus", "all"] if is_docker else ["--device", "nvidia.com/gpu=all"]
        if dispatch.memory_gb:
            limit = f"{int(dispatch.memory_gb * 2**30)}b"
            options += ["--memory", limit, "--memory-swap", limit]
        if dispatch.time_s and not is_docker:
            options += ["--timeout", str(int(dispatch.time_s) + LATER_S)]
        volumes = ["--volume", f"{self.sent}:{INPUT}:ro,Z"]
        volumes += ["--volume", f"{self.output}:{OUTPUT}:Z"]
        return [engine(), *options, *volumes, dispatch.image]


@contextmanager
def removed(name: str) -> Iterator[None]:
    """A context after which the container ``name`` is killed and removed, because the engine's command may end before
    its container does.  Errors of the engine are ignored.
    """
    try:
        yield
    finally:
        _run_engine("kill", name)  # without it, rm waits ten seconds
        _run_engine("rm", "--force", name)


def make_accessible(output: Path) -> None:
    """With rootless podman, make the files in ``output`` readable and removable for this process, because other users
    of the container may have written them.  Otherwise nothing is done.
    """
    if os.geteuid() and Path(engine()).name == "podman":
        _run_engine("unshare", "chmod", "-R", "a+rwX", str(output))
