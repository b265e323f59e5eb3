"""What a user reads when something is odd: outputs that are lost, wrong words, wrong files, servers that lie."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from conftest import CHECKOUT
from dss_client.__main__ import main
from dss_client.command_group import FAILED, FAULTY, IMPOSSIBLE, INTERRUPTED, CommandGroup
from support import dss_answers
from support.dss_answers import dss
from support.recorder import Recorder, ok, refusal

recorder = dss_answers.recorder
environment = dss_answers.environment


def test_the_line_of_help_of_each_command_is_the_commands_own() -> None:
    assert isinstance(main, CommandGroup)
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.help


def test_the_documented_exit_statuses_are_those_of_the_program() -> None:
    page = (CHECKOUT / "docs/pages/reference/commands.md").read_text(encoding="utf-8")

    listed = {int(number) for number in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}

    assert listed == {0, FAILED, IMPOSSIBLE, FAULTY, INTERRUPTED}


def test_help_imports_no_command() -> None:
    code = "import sys, dss_client.__main__ as m; m.main(['--help'])"
    check = f"import atexit, sys; atexit.register(lambda: print('httpx' in sys.modules, file=sys.stderr)); {code}"

    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, encoding="utf-8", check=False
    )

    assert (done.returncode, done.stderr) == (0, "False\n")
    assert "doctor" in done.stdout


def test_tickets_are_listed_with_times_and_names_and_no_control_characters(
    environment: dict[str, str],
) -> None:
    listed = dss(environment, "tickets").output.splitlines()
    shown = dss(environment, "show", "7").output

    assert [line.split()[0] for line in listed] == ["7", "8"]
    assert "2026-11-28" in listed[0]
    assert "Knee" in listed[0]
    assert "Verdict:  good" in shown
    assert not set("".join(listed) + shown) & {"\x1b", "\x07", "\u202e"}


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (["--since", "2026-11-01"], [7]),
        (["--since", "2019-01-01T00:00"], [7, 8]),
        (["--status", "failed"], [8]),
        (["--service", "other"], []),
    ],
)
def test_the_list_is_filtered(
    environment: dict[str, str], words: list[str], numbers: list[int]
) -> None:
    done = dss(environment, "tickets", "--json", *words)

    assert [row["id"] for row in json.loads(done.output)] == numbers


def test_a_server_of_old_lists_tickets_without_names(
    environment: dict[str, str], recorder: Recorder
) -> None:
    recorder.answers["GET /api/tickets/summary"] = refusal("404 Not Found")

    done = dss(environment, "tickets")

    assert done.output.split() == ["7", "ready", "lungs"]


def test_an_archive_that_has_come_damaged_is_not_kept(
    environment: dict[str, str], tmp_path: Path
) -> None:
    done = dss(environment, "download", "7", str(tmp_path / "all.zip"))

    assert done.exit_code == 2
    assert "has come damaged" in done.output
    assert not (tmp_path / "all.zip").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--service", "x"], "No ticket of yours is like that.\n"),
        ([], "You have no tickets yet; dss send makes one.\n"),
    ],
)
def test_an_empty_list_of_tickets_says_so(
    environment: dict[str, str], recorder: Recorder, words: list[str], sentence: str
) -> None:
    if not words:
        recorder.answers["GET /api/tickets/summary"] = ok(b'{"result": []}')

    done = dss(environment, "tickets", *words)

    assert (done.exit_code, done.stdout, done.stderr) == (0, "", sentence)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["sned"], "There is no command 'sned'. Did you mean send?"),
        (["--nothing"], "No such option '--nothing'."),
        (["show"], "Missing argument 'TICKET'."),
        (["show", "0"], "'0' is no number of a ticket; dss tickets lists yours."),
        (["show", "99999999999999999999"], "is no number of a ticket"),
        (["show", "seven"], "'seven' is no number of a ticket; dss tickets lists yours."),
        (["tickets", "--status", "done"], "'done' is not one of 'init', 'ready'"),
        (["tickets", "--since", "yesterday"], "a date such as 2026-11-29"),
        (["tickets", "--since", "999999d"], "a date such as 2026-11-29"),
        (["tickets", "--server", "dss.example.org"], "begins with http:// or https://"),
        (["tickets", "--server", "http://"], "is not the address of a server"),
        (["tickets", "--server", "http://[::1"], "cannot be understood"),
        (["tickets", "--server", "http://a:99999"], "cannot be understood"),
        (["tickets", "--server", "http://ex ample"], "is not the address"),
        (["tickets", "--server", "http://\udcff.org"], "is not the address"),
        (["login", "--token", "x", "--jar", "/dev/null/jar"], "/dev/null"),
        (["tickets", "--token", "tok\nen"], "characters that no token has"),
        (["tickets", "--token", "tökén"], "characters that no token has"),
        (["send"], "Missing argument 'IMAGE...'."),
        (["send", "absent.nii", "--service", "x"], "There is no file absent.nii."),
        (["send", "absent.nii", "also.nii", "--service", "x"], "There is no file absent.nii."),
        (["send", "a.nii", "--service", "x", "--crop", "1"], "'1' is no box such as"),
        (["send", "a.nii", "--service", "x", "--time-point", "0"], "0 is not in the range"),
        (["send", "a.nii", "--service", "x", "--tag", "CT"], "TAG=FILE is needed"),
        (
            ["send", "a.nii", "b.nii", "--service", "x", "--json", "o"],
            "this is for one image alone",
        ),
        (["send", "a.nii", "--service", ""], "the name of a service is missing"),
        (
            ["send", "taken", "--service", "lungs"],
            "There is no service 'lungs'; the server offers nothing.",
        ),
        (["download", "7", "taken"], "taken is a file; the results need a folder."),
        (["download", "7", "taken/all.zip"], "there is no folder taken"),
        (["send", "", "--service", "lungs"], "it is empty."),
        (["send", "a.nii", "--service", "lungs", "--output", ""], "it is empty."),
        (
            ["send", "taken", "--service", "lungs", "--output", "/proc/x"],
            "/proc cannot be written to",
        ),
        (["download", "7", "/proc/x.zip"], "/proc cannot be written to"),
        (["open", "7", "--page", "--server", "x"], "is not the address of a server"),
        (
            ["tickets", "--server", "http://ann:secret@a"],
            "leave them out, and sign in with a token.",
        ),
        (["doctor", "--token", "tökén"], "characters that no token has"),
        (["tickets", "--since", ""], "or 12h, is needed. See dss tickets --help."),
        (["completion", "tcsh"], "'tcsh' is not one of 'bash', 'zsh', 'fish'."),
    ],
)
def test_a_wrong_word_is_one_sentence_and_exit_status_2(
    environment: dict[str, str],
    words: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").touch()

    done = dss(environment, *words)

    assert done.exit_code == 2, done.output
    assert sentence in done.output
    assert len([line for line in done.stderr.splitlines() if "[y/N]" not in line]) == 1
    assert "secret" not in done.output


@pytest.mark.parametrize(
    "name", ["text.nii", "empty.nii.gz", "noise.nrrd", "half.mha", "page.zip", "\udcff.nii"]
)
def test_a_file_that_is_no_image_is_one_sentence(
    environment: dict[str, str], tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    content = b"" if name.startswith("empty") else b"this is no image at all\n" * 40
    path.write_bytes(content)

    done = dss(environment, "send", str(path), "--dry-run")

    assert done.exit_code == 2, done.output
    assert len(done.stderr.splitlines()) == 1
    assert "fault of its own" not in done.output


def test_a_folder_without_rights_is_one_sentence(
    environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):  # for root no folder is closed
        shutil.rmtree(folder)
        folder = Path("/proc/closed")

    done = dss(environment, "download", "7", str(folder / "out"))

    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\xff\x00",
        ok(b"{}"),
        ok(b'{"result": null}'),
        ok(b'{"result": [{"id": "seven"}]}'),
        ok(b'{"result": [{"id": 1e400, "service": 5, "status": null}]}'),
        ok(b"[" * 10000),
        ok(b'{"result": "\xff\xfe"}'),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
        refusal("403 Forbidden"),
        refusal("500 Oops"),
        refusal("302 Found", "Location: http://x/"),
    ],
)
def test_a_server_that_answers_nonsense_is_one_sentence(
    environment: dict[str, str], recorder: Recorder, answer: bytes
) -> None:
    recorder.answers["GET /api/tickets/summary"] = answer

    done = dss(environment, "tickets")

    assert done.exit_code == 2, done.output
    assert len(done.stderr.splitlines()) == 1
    assert "fault of its own" not in done.output


def test_a_fault_of_the_program_is_a_sentence_of_its_own_status(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("dss_client.itksnap.ItkSnap.summaries", broken)

    done = dss(environment, "tickets")

    assert done.exit_code == 70
    assert "dss has met a fault of its own (ZeroDivisionError: division by zero)" in done.output
