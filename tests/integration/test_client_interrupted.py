"""Ctrl-C at each stage of ``dss send``: what is on the server is said, and nothing is left there without a word."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.builders import image, write_image
from support.recorder import Recorder, ok, recording
from support.waiting import wait_until

HASH = "a" * 40
ROW = f'{{"name": "lungs", "githash": "{HASH}", "version": "1.0.0", "shortdesc": ""}}'
TAGS = b'{"tags": [{"name": "CT", "type": "MainImage", "required": true}]}'
READY = b'{"result": {"status": "ready", "progress": 0.0, "log": []}}'
DONE = b'{"result": {"status": "success", "progress": 1.0, "log": []}}'
DELETED = "GET /api/tickets/7/delete"


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    answers = {
        "POST /api/tickets ": ok(b"7"),
        "POST /api/tickets/7/": ok(b"success"),
        DELETED: ok(b"success"),
        "GET /api/tickets/7/detail": ok(READY),
        "GET /api/tickets/7/checksums": ok(b'{"result": []}'),
        "GET /api/tickets/estimates": ok(b'{"result": []}'),
        "GET /api/services?": ok(f'{{"result": [{ROW}]}}'.encode()),
        "GET /api/services/": ok(TAGS),
        "GET /api/services/estimates": ok(b'{"result": []}'),
    }
    with recording(answers) as recorder:
        yield recorder


def interrupted(recorder: Recorder, folder: Path, at: str) -> tuple[int, str]:
    """Exit status and error output of a command that got Ctrl-C when the server had received the request ``at``."""
    write_image(folder / "scan.nii.gz", image())
    words = ["send", "scan.nii.gz", "--service", "lungs", "--output", "out"]
    own = {"DSS_SERVER": recorder.address, "DSS_TOKEN": "dss_x", "HOME": str(folder)}
    with subprocess.Popen(
        [sys.executable, "-m", "dss_client", *words],
        cwd=folder,
        env={**os.environ, **own},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as sending:
        wait_until(lambda: any(r.line.startswith(at) for r in recorder.requests), 60)
        sending.send_signal(signal.SIGINT)
        _, told = sending.communicate(timeout=60)
    return sending.returncode, told


def is_deleted(recorder: Recorder) -> bool:
    return any(request.line.startswith(DELETED) for request in recorder.requests)


def test_before_there_is_a_ticket_nothing_is_left(recorder: Recorder, tmp_path: Path) -> None:
    recorder.silent.add("GET /api/services?")

    assert interrupted(recorder, tmp_path, "GET /api/services?") == (130, "")
    assert not is_deleted(recorder)


@pytest.mark.parametrize("at", ["POST /api/tickets/7/files/input", "POST /api/tickets/7/status"])
def test_a_ticket_that_is_not_submitted_is_withdrawn(
    recorder: Recorder, tmp_path: Path, at: str
) -> None:
    recorder.silent.add(at)

    status, _ = interrupted(recorder, tmp_path, at)

    assert status == 130
    assert is_deleted(recorder)


def test_what_could_not_be_withdrawn_is_told_with_the_command_for_it(
    recorder: Recorder, tmp_path: Path
) -> None:
    recorder.silent.add("POST /api/tickets/7/files/input")
    recorder.answers[DELETED] = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"

    status, told = interrupted(recorder, tmp_path, "POST /api/tickets/7/files/input")

    assert status == 130
    assert told == (
        f"Ticket 7 was not submitted. To remove it:\n  dss delete 7 --server {recorder.address}\n"
    )


def test_during_the_download_the_command_that_goes_on_is_told(
    recorder: Recorder, tmp_path: Path
) -> None:
    recorder.answers["GET /api/tickets/7/detail"] = ok(DONE)
    recorder.silent.add("GET /api/tickets/7/files/results")

    status, told = interrupted(recorder, tmp_path, "GET /api/tickets/7/files/results")

    assert status == 130
    assert told == (
        "Ticket 7 has ended. To fetch its results:\n"
        f"  dss download 7 FOLDER --server {recorder.address}\n"
    )
    assert not is_deleted(recorder)


def test_a_submitted_ticket_goes_on_and_is_taken_up_by_the_commands_that_are_told(
    recorder: Recorder, tmp_path: Path
) -> None:
    status, told = interrupted(recorder, tmp_path, "GET /api/tickets/7/detail")

    assert status == 130
    assert told == (
        "Ticket 7 goes on. To watch it again:\n"
        f"  dss watch 7 --server {recorder.address}\n"
        f"  dss download 7 FOLDER --server {recorder.address}\n"
    )
    assert not is_deleted(recorder)
