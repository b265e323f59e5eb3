"""``dss service new`` and ``check``: a folder works at once, and each fault is named with what is allowed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner as ClickRunner
from typer.testing import CliRunner

from dss_broker.dispatch_section import Modality
from dss_client.__main__ import main as dss
from dss_provider.commands import main
from dss_provider.errors import ServiceInvalid
from dss_provider.folder import load
from dss_provider.making import make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make(tmp_path / "bright", Modality.MR)
    return tmp_path / "bright"


def change(folder: Path, **changes: Any) -> None:
    path = folder / "service.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    found["dispatch"] |= changes
    found["dispatch"] = {k: v for k, v in found["dispatch"].items() if v is not None}
    path.write_text(json.dumps(found), encoding="utf-8")


@pytest.mark.slow
def test_a_new_folder_is_usable_and_its_own_test_passes(folder: Path) -> None:
    found = load(folder)

    assert found.descriptor.name == "bright"
    assert found.dispatch.tag == "MR"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_algorithm.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", check=False)
    assert "1 passed" in done.stdout


def test_an_existing_folder_and_a_bad_name_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ServiceInvalid, match="is there already; name a new folder"):
        make(folder, Modality.ANY)
    with pytest.raises(ServiceInvalid, match="'My Algorithm' is no good name"):
        make(tmp_path / "My Algorithm", Modality.ANY)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"provider": "magic"}, "'magic' is unknown; it is one of python, program, container"),
        ({"provider": "rules"}, "'rules' is for dispatchers beside the broker"),
        ({"provider": "bundle"}, "'bundle' is for dispatchers beside the broker"),
        ({"provider": "server"}, "`dss service` serves python, program, container"),
        ({"modality": "US"}, "'US' is unknown; it is one of CT, MR, PT, any"),
        ({"tag": "CT"}, "'CT' is no tag of an image; the service has 'MR'"),
        ({"function": "other.py:segment"}, "the folder has no file other.py"),
        ({"function": "segment"}, "'segment' is not FILE:FUNCTION"),
        ({"memory_gb": 0}, "memory_gb: is 0; it must be above 0"),
        ({"memory": 4}, "dispatch.memory: is unknown; known are tag, provider"),
        ({"labels": [{"value": 70000, "name": "x"}]}, "70000 is not between 1 and 65535"),
        ({"provider": "program"}, "lacks {image}, the file to read"),
        (
            {"provider": "program", "command": ["sh", "{image}"]},
            "needs either {labels}, the file to write, or {output}, the folder",
        ),
        (
            {"provider": "program", "command": ["./no", "{image}", "{labels}"]},
            "there is no file './no'",
        ),
        (
            {"provider": "program", "command": ["no-such-program", "{image}", "{labels}"]},
            "this machine has no program 'no-such-program'",
        ),
        (
            {"provider": "container", "command": ["{image}", "{labels}"]},
            "the name of a container image is needed",
        ),
    ],
)
def test_each_fault_is_named(folder: Path, changes: dict[str, Any], sentence: str) -> None:
    change(folder, **changes)

    done = CliRunner().invoke(main, ["check", str(folder)])

    assert done.exit_code == 2
    assert sentence in done.output


def test_all_faults_are_said_at_once(folder: Path) -> None:
    change(folder, tag="CT", memory_gb=-1, colour="red")

    with pytest.raises(ServiceInvalid) as caught:
        load(folder)

    assert len(str(caught.value).splitlines()) == 3


def test_a_folder_without_a_service_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ServiceInvalid, match="dss service new NAME"):
        load(tmp_path)


def test_the_commands_are_part_of_dss(folder: Path) -> None:
    done = ClickRunner().invoke(dss, ["service", "check", str(folder)])

    assert done.exit_code == 0
    assert "bright 1.0.0: usable" in done.output
