"""What a user reads when something is odd: outputs that are lost, wrong words, wrong files, servers that lie."""

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from conftest import CHECKOUT
from dss_client.__main__ import main
from dss_client.program import FAILED, FAULTY, IMPOSSIBLE, INTERRUPTED, Program
from support.builders import image, write_image
from support.recorder import COOKIE, Recorder, ok, recording, refusal

DSS = [sys.executable, "-m", "dss_client"]
ROW = {
    "id": 7,
    "service": "lungs\x1b[31m",
    "version": "1.0.0",
    "status": "success",
    "title": "Knee\x1b]0;owned\x07 \u202eleft\nrow",
    "created_at": "2026-11-28T10:00:00+00:00",
    "ended_at": "2026-11-28T11:00:00+00:00",
    "verdict": "good",
}
OLD_ROW = {**ROW, "id": 8, "created_at": "2020-01-01T00:00:00+00:00", "status": "failed"}
ANSWERS = {
    "GET /api/login": ok(b'{"result": {"email": "a@b"}}'),
    "POST /api/login": ok(b'{"result": {"email": "a@b"}}', f"Set-Cookie: {COOKIE}; Path=/"),
    "GET /api/services": ok(b'{"result": []}'),
    "GET /api/tickets?": ok(b'{"result": [{"id": 7, "service": "lungs", "status": "ready"}]}'),
    "GET /api/tickets/summary": ok(json.dumps({"result": [ROW, OLD_ROW]}).encode()),
    "GET /api/tickets/7/detail": ok(b'{"result": {"status": "success", "progress": 1.0}}'),
    "GET /api/tickets/7/files/results": ok(b"0,a\x1b[2Jb.nii.gz\r\n"),
    "GET /api/tickets/7/archive": ok(b"PK no archive"),
}


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording(dict(ANSWERS)) as recorder:
        yield recorder


@pytest.fixture
def environment(recorder: Recorder, tmp_path: Path) -> dict[str, str]:
    own = {"DSS_SERVER": recorder.address, "DSS_TOKEN": "dss_x", "HOME": str(tmp_path)}
    return {**os.environ, **own, "XDG_CONFIG_HOME": str(tmp_path)}


def dss(environment: dict[str, str], *words: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, words, env=environment, input=text)


def test_the_line_of_help_of_each_command_is_the_commands_own() -> None:
    assert isinstance(main, Program)
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


def test_a_token_for_programs_serves_every_command_and_opens_no_session(
    environment: dict[str, str], recorder: Recorder
) -> None:
    dss(environment, "services")
    dss(environment, "tickets")
    dss(environment, "show", "7")

    assert recorder.requests
    assert all(r.header("Authorization") == "Bearer dss_x" for r in recorder.requests)


def test_login_reads_a_token_from_a_pipe(environment: dict[str, str], recorder: Recorder) -> None:
    environment["DSS_TOKEN"] = ""

    done = dss(environment, "login", text="secret\n")

    assert done.exit_code == 0
    assert recorder.requests[0].body == b"token=secret"
    assert "secret" not in done.output


def test_login_without_any_token_is_told(environment: dict[str, str]) -> None:
    environment["DSS_TOKEN"] = ""

    done = dss(environment, "login", text="\n")

    assert done.exit_code == 2
    assert "A token is needed: by --token, DSS_TOKEN or the standard input." in done.output


def test_logout_ends_the_session_on_the_server_and_forgets_it(
    environment: dict[str, str], recorder: Recorder, tmp_path: Path
) -> None:
    environment["DSS_TOKEN"] = ""
    dss(environment, "login", "--token", "secret")
    before = len(recorder.requests)

    done = dss(environment, "logout")
    again = dss(environment, "logout")

    assert done.output == f"Signed out of {recorder.address}.\n"
    assert recorder.requests[before].line.startswith("POST /api/login")
    assert recorder.requests[before].header("Cookie") == COOKIE
    assert again.output == f"You were not signed in at {recorder.address}.\n"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_token_in_the_keyring_is_in_no_file(
    environment: dict[str, str], recorder: Recorder, tmp_path: Path
) -> None:
    """With the real library, and a backend that keeps its entries in a file that stands for the system's."""
    vault = tmp_path / "vault.json"
    words = {"PYTHON_KEYRING_BACKEND": "support.keyrings.InFile", "DSS_TEST_VAULT": str(vault)}
    own = {**environment, **words, "DSS_TOKEN": "", "PYTHONPATH": str(Path(__file__).parents[1])}

    def run(*command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*DSS, *command], env=own, capture_output=True, encoding="utf-8", check=False
        )

    signed_in = run("login", "--token", "dss_hidden")
    kept = [p.read_text("utf-8") for p in tmp_path.rglob("*") if p.is_file() and p != vault]
    listed = run("services")
    run("logout")

    assert signed_in.stdout == "Signed in as a@b. The token is kept in the keyring.\n"
    assert listed.returncode == 0
    assert recorder.requests[-1].header("Authorization") == "Bearer dss_hidden"
    assert kept
    assert not any("dss_hidden" in text for text in kept)
    assert json.loads(vault.read_text(encoding="utf-8")) == {}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["sned"], "There is no command 'sned'. Did you mean send?"),
        (["--nothing"], "No such option '--nothing'."),
        (["show"], "Missing argument 'TICKET'."),
        (["show", "0"], "0 is not in the range 1<=x<=2147483647."),
        (["show", "99999999999999999999"], "is not in the range"),
        (["show", "seven"], "'seven' is not a valid integer range."),
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
        (["send", "absent.nii", "--service", "x"], "There is no service 'x'"),
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
            ["send", "a.nii", "--service", "lungs"],
            "There is no service 'lungs'; the server offers nothing.",
        ),
        (["download", "7", "taken"], "taken is a file; the results need a folder."),
        (["download", "7", "taken/all.zip"], "there is no folder taken"),
        (["send", "", "--service", "lungs"], "it is empty."),
        (["send", "a.nii", "--service", "lungs", "--output", ""], "it is empty."),
        (
            ["send", "a.nii", "--service", "lungs", "--output", "/proc/x"],
            "/proc cannot be written to",
        ),
        (["download", "7", "/proc/x.zip"], "/proc cannot be written to"),
        (["delete", "7"], "Nobody is there to answer; --yes does."),
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
