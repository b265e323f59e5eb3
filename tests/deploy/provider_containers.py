"""``dss service`` with the real podman: what a container may, and that nothing of it is left.  Part of ``make test-deploy``."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from deploy.engines import BASE, Engine
from support.waiting import wait_until

pytestmark = pytest.mark.timeout(1800)  # builds the base where it runs alone

ENDS = 200


class Boxed:
    """A service of the image BASE, whose shell gets the image as $1 and the folder for results as $2."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine, self._folder = engine, folder
        array = np.zeros((6, 7, 8), np.uint8)
        array[1:4, 2, 3] = 1
        sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / "scan.nii.gz"))
        self._dss("new", "boxed", "--container", BASE, "--run", "sh {image} {output}")

    def _dss(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "dss_client", "service", *words]
        return subprocess.run(
            command,
            cwd=self._folder,
            env=self._engine.environment,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=ENDS,
        )

    def write(self, script: str, **changes: object) -> None:
        path = self._folder / "boxed/service.json"
        found = json.loads(path.read_text("utf-8"))
        command = ["sh", "-c", script, "sh", "{image}", "{output}"]
        found["dispatch"] |= {"command": command, **changes}
        path.write_text(json.dumps(found), encoding="utf-8")

    def run(self, script: str, **changes: object) -> str:
        """What ``dss service test`` says."""
        self.write(script, **changes)
        done = self._dss("test", "boxed", "scan.nii.gz", "--output", "out")
        return done.stdout + done.stderr

    def begun(self, script: str) -> "subprocess.Popen[bytes]":
        self.write(script)
        command = [sys.executable, "-m", "dss_client", "service", "test", "boxed", "scan.nii.gz"]
        return subprocess.Popen(command, cwd=self._folder, env=self._engine.environment)

    def written(self, name: str) -> str:
        return (self._folder / "out" / name).read_text("utf-8")

    def containers(self) -> list[str]:
        return self._engine.podman("ps", "--all", "--format", "{{.Names}}").stdout.split()


@pytest.fixture
def boxed(engine: Engine, tmp_path: Path) -> Boxed:
    return Boxed(engine, tmp_path)


COPY = "cp $1 $2/segmentation.nii.gz"


def test_a_container_segments_and_has_no_rights_but_its_folder(boxed: Boxed) -> None:
    script = f"{COPY}; (ls /sys/class/net; touch /x; touch /input/x; echo a > $2/b) > $2/t.txt 2>&1"

    said = boxed.run(script)

    assert "Label 1" in said
    lines = boxed.written("t.txt")
    assert lines.splitlines()[0] == "lo"
    assert lines.count("Read-only file system") == 2
    assert boxed.containers() == []


@pytest.mark.parametrize(
    ("script", "changes", "sentence"),
    [
        ("sleep 300", {"time_s": 3}, "took longer than the 3 s that it may"),
        ("a=x; while :; do a=$a$a; done", {"memory_gb": 0.1}, "ended by the signal SIGKILL"),
        ("no-such-program", {}, "has no such command, or cannot run it (status 127)"),
        ("exit 3", {}, "ended with status 3"),
    ],
)
def test_what_goes_wrong_is_a_sentence_and_nothing_is_left(
    boxed: Boxed, script: str, changes: dict[str, object], sentence: str
) -> None:
    assert sentence in boxed.run(script, **changes)
    assert boxed.containers() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_trial_that_is_ended_ends_its_container(boxed: Boxed, number: signal.Signals) -> None:
    trial = boxed.begun("sleep 300")
    wait_until(lambda: bool(boxed.containers()), ENDS)

    os.kill(trial.pid, number)

    trial.wait(ENDS)
    wait_until(lambda: boxed.containers() == [], ENDS)
