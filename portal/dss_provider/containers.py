"""Runs a container image with podman or docker, and removes what is left of it."""

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
"""podman ends a container by itself so long after its time, for the case that the publisher is gone."""
INPUT, OUTPUT = "/input", "/output"

NOT_STARTED = (125, 126, 127)
"""Exit statuses of an engine that could not start the container."""


def engine() -> str:
    """The program of the engine; "" if there is none."""
    return next((e for e in ENGINES if shutil.which(e)), "")


def has_image(image: str) -> bool:
    command = [engine(), "image", "inspect", image]
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, check=False, timeout=END_S)
        return done.returncode == 0
    return False


@dataclass(frozen=True, kw_only=True)
class Container:
    """One run.  It reads the folder ``sent`` and writes into the folder ``output``, with no network and no other right unless asked."""

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
    """Afterwards there is no container ``name``: an engine's command may end, or be ended, before its container."""
    try:
        yield
    finally:
        for words in (["kill", name], ["rm", "--force", name]):  # rm alone waits ten seconds
            with suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run([engine(), *words], capture_output=True, check=False, timeout=END_S)
