"""Tokens and sessions of the command line."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from dss_client.__main__ import main
from support import dss_commands
from support.builders import image, write_image
from support.dss_commands import ANSWERS, dss
from support.recorder import COOKIE, Recorder, refusal

recorder = dss_commands.recorder
place = dss_commands.place


def test_a_token_signs_in_and_is_not_printed(recorder: Recorder, place: list[str]) -> None:
    done = dss("services", *place, token="secret")

    assert recorder.requests[0].body == b"token=secret"
    assert (done.exit_code, "secret" in done.output) == (0, False)


def test_without_a_token_the_stored_session_is_used(recorder: Recorder, place: list[str]) -> None:
    dss("login", *place, token="secret")

    dss("services", *place)

    assert recorder.requests[1].line == "GET /api/login?format=json HTTP/1.1"
    assert recorder.requests[1].header("Cookie") == COOKIE


def test_a_token_in_the_environment_serves_several_commands(
    recorder: Recorder, place: list[str]
) -> None:
    done = [dss("services", *place, token="secret") for _ in range(3)]

    logins = [r for r in recorder.requests if r.line.startswith("POST /api/login")]
    assert [run.exit_code for run in done] == [0, 0, 0]
    assert [request.body for request in logins] == [b"token=secret"]


def test_another_token_signs_in_anew(recorder: Recorder, place: list[str]) -> None:
    dss("services", *place, token="of-ann")

    dss("services", *place, token="of-bob")

    logins = [r for r in recorder.requests if r.line.startswith("POST /api/login")]
    assert [request.body for request in logins] == [b"token=of-ann", b"token=of-bob"]


def test_a_token_whose_session_has_ended_is_tried_again(
    recorder: Recorder, place: list[str]
) -> None:
    dss("services", *place, token="secret")
    recorder.answers["GET /api/login"] = refusal("401 Unauthorized")

    dss("services", *place, token="secret")

    assert len([r for r in recorder.requests if r.line.startswith("POST /api/login")]) == 2


def test_the_token_itself_is_not_stored(place: list[str], tmp_path: Path) -> None:
    dss("services", *place, token="secret")

    stored = [path for path in tmp_path.iterdir() if path.is_file()]
    assert stored
    assert all("secret" not in path.read_text(encoding="utf-8") for path in stored)
    assert all(path.stat().st_mode & 0o077 == 0 for path in stored)


@pytest.mark.parametrize("command", [["services"], ["tickets"], ["send", "SCAN", "--service", "a"]])
def test_a_wrong_token_for_programs_is_told_with_where_another_comes_from(
    recorder: Recorder, tmp_path: Path, command: list[str]
) -> None:
    recorder.answers.update(dict.fromkeys([*ANSWERS, "GET /api/"], refusal("401 Unauthorized")))
    scan = str(write_image(tmp_path / "scan.nii.gz", image()))
    words = [scan if word == "SCAN" else word for word in command]

    done = dss(*words, "--server", recorder.address, "--jar", str(tmp_path / "j"), token="dss_x")

    assert done.exit_code == 2
    assert "does not accept this token for programs (it begins with dss_)" in done.output
    assert "A site admin makes one" in done.output
    assert "dss login" in done.output
    assert "make provider" in done.output
    assert "/token;" not in done.output


@pytest.mark.parametrize("command", [["services"], ["login"]])
def test_a_one_time_token_that_is_refused_is_told_with_its_place(
    recorder: Recorder, place: list[str], command: list[str]
) -> None:
    recorder.answers["POST /api/login"] = refusal("401 Unauthorized")

    by_variable = dss(*command, *place, token="abc")
    by_option = dss(*command, *place, "--token", "abc")

    refused = f"{recorder.address} does not accept the token of"
    assert by_variable.output.startswith(f"{refused} DSS_TOKEN: it is mistyped")
    assert by_option.output.startswith(f"{refused} --token: it is mistyped")
    assert "a one-time token works once" in by_option.output
    assert "does not know you" not in by_variable.output + by_option.output
    assert (by_variable.exit_code, by_option.exit_code) == (2, 2)


def test_a_refused_token_from_standard_input_is_told(recorder: Recorder, place: list[str]) -> None:
    recorder.answers["POST /api/login"] = refusal("401 Unauthorized")

    done = CliRunner().invoke(main, ["login", *place], input="abc\n", env={"DSS_TOKEN": ""})

    assert "does not accept the token that was typed: it is mistyped" in done.output
    assert "does not know you" not in done.output
    assert done.exit_code == 2


def test_without_a_token_the_ways_to_sign_in_are_told(recorder: Recorder, place: list[str]) -> None:
    recorder.answers["GET /api/login"] = refusal("401 Unauthorized")

    assert "does not know you. Sign in with dss login" in dss("services", *place).output
