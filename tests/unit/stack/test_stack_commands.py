"""What ``dss-stack`` says when it cannot begin."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from dss_stack.__main__ import main


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
