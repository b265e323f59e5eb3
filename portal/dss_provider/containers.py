"""Runs a container image with podman or docker, and removes the container afterwards."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dss_broker.dispatch_section import Dispatch

ENGINES = ("podman", "docker")
END_S = 60.0
LATER_S = 30
"""podman ends a container by itself this long after its time limit, in case the publisher has died."""
INPUT, OUTPUT = "/input", "/output"

NOT_STARTED = (125, 126, 127)
"""Exit statuses of an engine that could not start the container."""


def engine() -> str:
    """The program of the container engine; "" if there is none."""
    return next((e for e in ENGINES if shutil.which(e)), "")


def has_image(image: str) -> bool:
    command = [engine(), "image", "inspect", image]
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, check=False, timeout=END_S)
        return done.returncode == 0
    return False


@dataclass(frozen=True, kw_only=True)
class Container:
    """One run of an image.  It reads ``image`` and writes to the folder ``output``, without a network or other rights
    unless the service asks for them.
    """

    name: str
    dispatch: Dispatch
    sent: Path
    output: Path

    @property
    def words(self) -> list[str]:
        """The engine's command, up to the words for the container."""
        dispatch = self.dispatch
        options = ["run", "--rm", "--name", self.name, "--read-only", "--tmpfs", "/tmp"]  # noqa: S108  (the container's own)
        options += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        if not dispatch.network:
            options += ["--network", "none"]
        if dispatch.gpu:
            is_docker = engine() == "docker"
            options += ["--gpus", "all"] if is_docker else ["--device", "nvidia.com/gpu=all"]
        if dispatch.memory_gb:
            limit = f"{int(dispatch.memory_gb * 2**30)}b"
            options += ["--memory", limit, "--memory-swap", limit]
        if dispatch.time_s and engine() == "podman":
            options += ["--timeout", str(int(dispatch.time_s) + LATER_S)]
        volumes = ["--volume", f"{self.sent}:{INPUT}:ro,Z"]
        volumes += ["--volume", f"{self.output}:{OUTPUT}:Z"]
        return [engine(), *options, *volumes, dispatch.image]


@contextmanager
def removed(name: str) -> Iterator[None]:
    """A context after which the container ``name`` does not exist: an engine's command may end before its container."""
    try:
        yield
    finally:
        for words in (["kill", name], ["rm", "--force", name]):  # rm alone waits ten seconds
            with suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run([engine(), *words], capture_output=True, check=False, timeout=END_S)
