"""What ``dss-stack`` says when it cannot begin, and of a new provider."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from dss_stack.__main__ import main
from dss_stack.stack import Stack


@pytest.mark.parametrize("name", ["file", "file/deeper"])
def test_a_state_folder_that_cannot_be_made_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    monkeypatch.setenv("DSS_STATE", str(tmp_path / name))

    done = CliRunner().invoke(main, ["up"])

    assert done.exit_code == 1
    assert len(done.output.splitlines()) == 1
    assert "cannot be the state folder" in done.output


def test_a_provider_is_told_how_to_load_what_it_needs_and_the_token_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DSS_STATE", "my state")
    monkeypatch.setattr(Stack, "exists", True)
    monkeypatch.setattr(
        Stack, "addresses", lambda _: SimpleNamespace(public_url="http://localhost")
    )
    monkeypatch.setattr(Stack, "run", lambda *_, **__: "a-secret")
    (tmp_path / "my state").mkdir()

    done = CliRunner().invoke(main, ["provider", "LAB"])

    assert done.exit_code == 0, done.output
    assert ". .venv/bin/activate && . 'my state/provider.env'" in done.output
    assert "making the provider LAB" in done.output
    assert "a-secret" not in done.output
    assert "a-secret" in (tmp_path / "my state/provider.env").read_text("utf-8")
