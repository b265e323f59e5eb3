"""Outputs of the command line: full, closed, unread, in few letters, and on a terminal."""

import os
import pty
import subprocess
from pathlib import Path

import pytest

from support import dss_answers
from support.builders import image, write_image
from support.dss_answers import DSS, dss

recorder = dss_answers.recorder
environment = dss_answers.environment


@pytest.mark.parametrize(
    "words", [["--help"], ["tickets"], ["send", "--help"], ["services", "--json"]]
)
def test_a_full_output_is_a_sentence_and_exit_status_2(
    environment: dict[str, str], words: list[str]
) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [*DSS, *words],
            env=environment,
            stdout=full,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            check=False,
        )

    assert done.returncode == 2
    assert done.stderr == "The output cannot be written: No space left on device.\n"


@pytest.mark.parametrize("words", [["--help"], ["tickets"]])
def test_an_output_that_nobody_reads_is_a_sentence_and_exit_status_2(
    environment: dict[str, str], words: list[str]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*DSS, *words],
        env=environment,
        stdout=writing,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        check=False,
    )
    os.close(writing)

    assert done.returncode == 2
    assert done.stderr == "The output was closed by its reader before everything was written.\n"


@pytest.mark.parametrize(
    ("words", "status"),
    [(["tickets"], 0), (["delete", "7"], 2), (["show", "7"], 0), (["login", "--token", ""], 2)],
)
def test_a_program_whose_streams_are_closed_ends_as_it_should(
    environment: dict[str, str], words: list[str], status: int
) -> None:
    closed = ["bash", "-c", 'exec "$@" <&- >&- 2>&-', "bash", *DSS, *words]

    done = subprocess.run(closed, env={**environment, "DSS_TOKEN": "dss_x"}, check=False)

    assert done.returncode == status


def test_a_terminal_that_cannot_show_a_letter_gets_its_number(environment: dict[str, str]) -> None:
    western = {**environment, "PYTHONIOENCODING": "iso-8859-1"}

    done = subprocess.run(
        [*DSS, "tickets"], env=western, capture_output=True, encoding="iso-8859-1", check=False
    )

    assert done.returncode == 0
    assert "Knee\\u241b" in done.stdout


def test_completion_offers_commands_and_options(environment: dict[str, str]) -> None:
    asked = {"_DSS_COMPLETE": "bash_complete", "COMP_WORDS": "dss tick", "COMP_CWORD": "1"}

    script = dss(environment, "completion", "zsh").output
    done = subprocess.run(
        [*DSS], env={**environment, **asked}, capture_output=True, encoding="utf-8", check=False
    )

    assert "_DSS_COMPLETE=zsh_complete" in script
    assert done.stdout.split() == ["plain,tickets"]


def test_on_a_terminal_a_bar_moves_and_disappears(
    environment: dict[str, str], tmp_path: Path
) -> None:
    scan = write_image(tmp_path / "scan.nii.gz", image())
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [*DSS, "send", str(scan), "--dry-run"], env=environment, stdout=follower, stderr=follower
    ) as running:
        os.close(follower)
        shown = b""
        while piece := _read(leader):
            shown += piece
    os.close(leader)

    assert running.returncode == 0
    assert b"Reading the image" in shown
    assert b"\x1b[1A\r\x1b[J" in shown
    assert shown.rstrip().endswith(b"voxels would be sent.")


def _read(leader: int) -> bytes:
    try:
        return os.read(leader, 4096)
    except OSError:  # Linux's end of a terminal
        return b""
