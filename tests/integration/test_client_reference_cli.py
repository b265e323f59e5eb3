"""The command line, proven against the server that ITK-SNAP uses."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dss_client.__main__ import main
from dss_client.itksnap import ItkSnap
from support import reference_server
from support.builders import (
    LayerSpec,
    WorkspaceSpec,
    image,
    segmentation,
    workspace_xml,
    write_image,
)
from support.reference_server import Provider

pytestmark = pytest.mark.stack

UPLOADED = LayerSpec(tags="CT")
SEGMENTED = LayerSpec(role="SegmentationRole", file_name="layer_001_lungs.nii.gz")
LABELS = {1: "left lung", 2: "right lung"}

# Tests that are started in the background ignore Ctrl-C, and programs inherit that.
_AS_IN_A_TERMINAL = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""

server = reference_server.server
provider = reference_server.provider


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_image(tmp_path / "scan.nrrd", image())


def results(tmp_path: Path) -> dict[str, bytes]:
    """As a provider gives them: one voxel in each lung."""
    layer = write_image(tmp_path / "result_layer.nii.gz", image())
    lungs = write_image(tmp_path / "result_lungs.nii.gz", segmentation())
    spec = WorkspaceSpec(layers=(UPLOADED, SEGMENTED), labels=LABELS)
    return {
        UPLOADED.file_name: layer.read_bytes(),
        SEGMENTED.file_name: lungs.read_bytes(),
        "ticket_00000001_results.itksnap": workspace_xml(spec),
    }


@dataclass
class Work:
    """A provider that handles one ticket beside the test."""

    provider: Provider
    give: dict[str, bytes]
    end: str = "success"
    inputs: dict[str, bytes] = field(default_factory=dict)

    def __enter__(self) -> "Work":
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(60)

    def _run(self) -> None:
        ticket = self._wait_for_ticket()
        self.inputs = self.provider.inputs(ticket)
        self.provider.log(ticket, "info" if self.end == "success" else "error", "looked at it")
        self.provider.progress(ticket, 0.5)
        self.provider.give(ticket, self.give)
        self.provider.finish(ticket, self.end)

    def _wait_for_ticket(self) -> int:
        stopped = threading.Event()
        for _ in range(300):
            try:
                return self.provider.claim()
            except IndexError:
                stopped.wait(0.1)
        raise AssertionError("No ticket came.")


def dss(*words: str, token: str | None = None) -> Result:
    return CliRunner().invoke(main, words, env={"DSS_TOKEN": token or ""})


def test_a_scan_is_sent_and_its_lungs_are_measured(
    server: str, provider: Provider, scan: Path, tmp_path: Path
) -> None:
    report, jar = tmp_path / "report.json", str(tmp_path / "jar")
    words = ["send", str(scan), "--server", server, "--service", "lung-segmentation", "--jar", jar]
    words += ["--json", str(report), "--output", str(tmp_path / "out")]

    with Work(provider, results(tmp_path)):
        done = dss(*words, token=provider.token())

    assert done.exit_code == 0, done.output
    written = json.loads(report.read_text(encoding="utf-8"))
    voxel_ml = 0.75 * 0.75 * 2.5 / 1000
    assert written["labels"] == [
        {"value": 1, "name": "left lung", "volume_ml": round(voxel_ml, 3)},
        {"value": 2, "name": "right lung", "volume_ml": round(voxel_ml, 3)},
    ]
    assert Path(written["workspace"]).parent == tmp_path / "out"
    assert set(written["seconds"]) == {"prepare", "upload", "queue", "work", "download", "total"}
    assert "looked at it" in done.output


def test_what_is_sent_is_a_workspace_and_its_layer(
    server: str, provider: Provider, scan: Path, tmp_path: Path
) -> None:
    words = ["send", str(scan), "--server", server, "--service", "lung-segmentation"]
    words += ["--jar", str(tmp_path / "jar"), "--output", str(tmp_path / "out")]

    with Work(provider, results(tmp_path)) as work:
        dss(*words, token=provider.token())

    layer, workspace = sorted(work.inputs)
    assert (layer[:10], workspace) == ("layer_000_", "ticket_00000001.itksnap")
    assert layer.encode() in work.inputs[workspace]
    assert b'key="Tags" value="CT"' in work.inputs[workspace]


def test_a_failed_ticket_gives_its_reason_and_exit_status_1(
    server: str, provider: Provider, scan: Path, tmp_path: Path
) -> None:
    report, jar = tmp_path / "report.json", str(tmp_path / "jar")
    words = ["send", str(scan), "--server", server, "--service", "lung-segmentation", "--jar", jar]

    with Work(provider, {}, end="failed"):
        done = dss(*words, "--json", str(report), token=provider.token())

    assert done.exit_code == 1
    assert "Ticket 1: failed.\n  looked at it" in done.output
    assert json.loads(report.read_text(encoding="utf-8"))["status"] == "failed"


def test_an_interrupted_ticket_goes_on_and_the_user_is_told_how_to_follow_it(
    server: str, provider: Provider, scan: Path, tmp_path: Path
) -> None:
    words = [sys.executable, "-m", "dss_client", "send", str(scan), "--server", server]
    words += ["--service", "lung-segmentation", "--jar", str(tmp_path / "jar")]
    variables = os.environ | {"DSS_TOKEN": provider.token(), "PYTHONUNBUFFERED": "1"}

    with subprocess.Popen(
        [sys.executable, "-c", _AS_IN_A_TERMINAL, *words],
        env=variables,
        encoding="utf-8",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as sending:
        assert sending.stdout is not None
        next(line for line in sending.stdout if "in the queue" in line)
        sending.send_signal(signal.SIGINT)
        told = sending.stdout.read()

    assert sending.returncode == 130
    assert f"Ticket 1 goes on. To watch it again:\n  dss watch 1 --server {server}" in told
    assert provider.claim() == 1


def test_the_other_commands_share_the_session(
    server: str, provider: Provider, tmp_path: Path
) -> None:
    place = ["--server", server, "--jar", str(tmp_path / "jar")]
    assert dss("login", *place, token=provider.token()).exit_code == 0
    with ItkSnap(server, tmp_path / "jar") as client:
        client.submit(client.create_ticket("lung-segmentation"))

    assert "lung-segmentation  1.0.0  Lungs" in dss("services", *place).output
    assert "ready" in dss("tickets", *place).output
    assert "Ticket received" in dss("log", "1", *place).output
    assert dss("delete", "1", "--yes", *place).exit_code == 0
    assert "You have no tickets yet" in dss("tickets", *place).output
