# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""``dss service new`` and ``check``: a folder works at once, and each fault is named with what is allowed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dss_broker.dispatch_section import Modality
from dss_client.__main__ import main as dss
from dss_client.commands.services import own_service as main
from dss_provider.errors import ServiceInvalid
from dss_provider.folder import load
from dss_provider.new_folder import make
from support import new_folders

folder = new_folders.folder


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
    pytest_too = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "test_algorithm.py"]
    for command, said in ((["test_algorithm.py"], "is found"), (pytest_too, "1 passed")):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert said in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--run", "prog {imag} {labels}"], "--run: lacks {image}, the file to read."),
        (["--run", "prog {image}"], "--run: needs either {labels}, the file to write, or {output}"),
        (
            ["--run", "prog {image} {labels}", "--container", "-x"],
            "--container: '-x' is no name of a container image.",
        ),
    ],
)
def test_options_that_make_no_service_are_refused_before_a_folder_is_made(
    tmp_path: Path, words: list[str], sentence: str
) -> None:
    done = CliRunner().invoke(dss, ["service", "new", str(tmp_path / "own"), *words])

    assert done.exit_code == 2
    assert sentence in done.output
    assert not (tmp_path / "own").exists()


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
            {"provider": "program", "command": ["sh", "{image}", "{image:PET}", "{labels}"]},
            "{image:PET} names no required tag of an image",
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
    done = CliRunner().invoke(dss, ["service", "check", str(folder)])

    assert done.exit_code == 0
    assert "bright 1.0.0: usable" in done.output


def test_texts_of_the_template_are_warned_of_until_they_are_replaced(folder: Path) -> None:
    before = CliRunner().invoke(dss, ["service", "check", str(folder)])
    described = json.loads((folder / "service.json").read_text(encoding="utf-8"))
    described |= {"shortdesc": "Lungs", "longdesc": "Both lungs"}
    (folder / "service.json").write_text(json.dumps(described), encoding="utf-8")
    code = "def segment(image):\n    return image.array > 0\n"
    (folder / "algorithm.py").write_text(code, encoding="utf-8")
    change(folder, segmentation="Lungs")
    after = CliRunner().invoke(dss, ["service", "check", str(folder)])

    warned = [line.split()[1] for line in before.output.splitlines() if "Warning:" in line]
    assert warned == ["shortdesc", "longdesc", "algorithm.py"]
    assert before.exit_code == after.exit_code == 0
    assert "Warning" not in after.output
    assert 'named "Lungs" (dispatch.segmentation)' in after.output


@pytest.mark.parametrize("words", [[], ["new"], ["check"], ["test"], ["publish"]])
def test_its_help_looks_like_that_of_the_other_commands(words: list[str]) -> None:
    done = CliRunner().invoke(dss, ["service", *words, "--help"])

    assert done.exit_code == 0
    assert done.output.startswith("Usage: dss service")
    assert done.output.isascii(), "no boxes"


def test_a_program_and_a_container_are_made_by_an_option(tmp_path: Path) -> None:
    runner = CliRunner()
    command = ["new", str(tmp_path / "own"), "--run", "sh 'a b' {image} {labels}"]

    assert runner.invoke(main, command).exit_code == 0
    assert load(tmp_path / "own").dispatch.command == ("sh", "a b", "{image}", "{labels}")
    assert [p.name for p in (tmp_path / "own").iterdir()] == ["service.json"]

    command = [*command[:1], str(tmp_path / "boxed"), *command[2:], "--container", "own:1"]
    assert runner.invoke(main, command).exit_code == 0
    found = json.loads((tmp_path / "boxed/service.json").read_text(encoding="utf-8"))["dispatch"]
    assert (found["provider"], found["image"]) == ("container", "own:1")

    alone = runner.invoke(main, ["new", str(tmp_path / "x"), "--container", "own:1"])
    assert (alone.exit_code, "needs --run" in alone.output) == (2, True)
    open_quote = runner.invoke(main, ["new", str(tmp_path / "x"), "--run", "sh '{image}"])
    assert (open_quote.exit_code, "not closed" in open_quote.output) == (2, True)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("def segment(image:\n", "algorithm.py, line 1: '(' was never closed"),
        ("x = '\0'", "algorithm.py"),
        ("def other(image): ...", "algorithm.py has no function segment; it has other."),
        ("", "algorithm.py has no function segment; it has none."),
        ("async def segment(image): ...", "line 1: segment must not be async"),
        (
            "def segment(image, threshold): ...",
            "asks for 'threshold'; it may ask for image, images",
        ),
        ("def segment(image, *, threshold): ...", "asks for 'threshold'"),
    ],
)
def test_the_function_is_checked_without_running_it(folder: Path, code: str, sentence: str) -> None:
    (folder / "algorithm.py").write_text(f"{code}\n", encoding="utf-8")

    with pytest.raises(ServiceInvalid) as caught:
        load(folder)

    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    "code",
    [
        "def segment(image, threshold=3, *rest, level=1, **more): raise SystemExit",
        "from other import segment",
        "from other import *",
        "from other import run as segment",
        "if True:\n    def segment(image): ...",
        "try:\n    import fast\n    segment = fast.run\nexcept ImportError:\n    segment = None",
    ],
)
def test_a_function_that_may_be_there_is_no_fault(folder: Path, code: str) -> None:
    (folder / "algorithm.py").write_text(code, encoding="utf-8")

    load(folder)
