"""Where the command line gets its token from, and where it keeps it."""

import json
import subprocess
from pathlib import Path

import pytest

from dss_client.credentials import Credentials
from support import dss_answers
from support.dss_answers import DSS, dss
from support.recorder import COOKIE, Recorder, ok

recorder = dss_answers.recorder
environment = dss_answers.environment


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
    """The real library, with a backend that keeps its entries in a file instead of the system's keyring."""
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
    ("is_own", "new", "revoked"),
    [
        (True, "dss_new", True),
        (True, "once", True),
        (True, "dss_old", False),
        (False, "dss_new", False),
    ],
)
def test_a_second_login_revokes_the_token_that_the_first_one_got(
    recorder: Recorder, tmp_path: Path, is_own: bool, new: str, revoked: bool
) -> None:
    """One that the user gave may be used elsewhere."""
    jar = tmp_path / "jar"
    Credentials(jar).keep("dss_old", is_own=is_own)
    recorder.answers["POST /api/device/revoke"] = ok(b"revoked")

    done = dss({"DSS_SERVER": recorder.address}, "login", "--token", new, "--jar", str(jar))

    assert done.exit_code == 0
    asked = [r for r in recorder.requests if r.line.startswith("POST /api/device/revoke")]
    assert [r.header("Authorization") for r in asked] == ["Bearer dss_old"] * revoked
    assert Credentials(jar).token() == (new if new.startswith("dss_") else "")


def test_a_second_login_ends_the_session_of_the_first(
    environment: dict[str, str], recorder: Recorder
) -> None:
    environment["DSS_TOKEN"] = ""
    dss(environment, "login", "--token", "first")
    before = len(recorder.requests)

    dss(environment, "login", "--token", "second")

    signed_in, ended = recorder.requests[before:]
    assert signed_in.body == b"token=second"
    assert (ended.body, ended.header("Cookie")) == (b"token=none", COOKIE)


def test_a_login_with_a_token_for_programs_ends_an_earlier_session_and_forgets_it(
    environment: dict[str, str], recorder: Recorder, tmp_path: Path
) -> None:
    environment["DSS_TOKEN"] = ""
    dss(environment, "login", "--token", "first")
    before = len(recorder.requests)

    dss(environment, "login", "--token", "dss_second")

    asked, ended = recorder.requests[before:]
    assert asked.header("Authorization") == "Bearer dss_second"
    assert (ended.body, ended.header("Cookie")) == (b"token=none", COOKIE)
    (kept,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert kept.suffix == ".api"
