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

from dss_broker.dispatch_faults import dispatch_from
from dss_broker.dispatch_section import PUBLISHER, Modality
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
            "--container: '-x' is no name of a container image",
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
        ({"memory_gbs": 4}, "dispatch.memory_gbs: is unknown; did you mean memory_gb?"),
        ({"colour": 4}, "dispatch.colour: is unknown; known are tag, provider"),
        ({"memory_gb": "4"}, "dispatch.memory_gb: must be a number or null, not a text."),
        ({"provider": 5}, "dispatch.provider: must be a text, not a whole number."),
        (
            {"labels": [{"value": 1, "name": "x", "rgb": [1, 2]}]},
            "dispatch.labels[0].rgb: must be a list of 3 values, not of 2.",
        ),
        (
            {"labels": [{"value": 1, "name": "x", "color": [1, 2, 3]}]},
            "dispatch.labels[0].color: is unknown; known are value, name, rgb.",
        ),
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
            {"provider": "program", "command": ["python3", "run.py", "{image}", "{labels}"]},
            "the folder has no file 'run.py', which python3 is to run",
        ),
        (
            {"provider": "container", "command": ["{image}", "{labels}"]},
            "the name of a container image is needed",
        ),
        *(
            (
                {"provider": "container", "command": ["{image}", "{labels}"], "image": image},
                f"dispatch.image: '{image}' is no name of a container image, such as own:1.0",
            )
            for image in ("Own Tool", "Own:1", "own:", "own:1:2", "http://a.example/own", "a//b")
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


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"name": "a",\n "tags" []}', "is not valid JSON: line 2, column 9: expected ':'."),
        (b'{"name": "a"', "is not valid JSON: it ends too early, for instance without the last }."),
        (b'{"name":\n"\xff"}', "is not encoded in UTF-8: see line 2, column 2."),
        (b"[]", "is not a JSON object, which begins with {."),
        (b'{"version": 1e999}', "has a number that is too large."),
    ],
)
def test_a_fault_of_json_is_told_with_its_line(folder: Path, content: bytes, sentence: str) -> None:
    (folder / "service.json").write_bytes(content)

    done = CliRunner().invoke(dss, ["service", "check", str(folder)])

    assert (done.exit_code, done.stderr) == (2, f"service.json {sentence}\n")


def test_a_misspelt_section_is_told(folder: Path) -> None:
    path = folder / "service.json"
    path.write_text(path.read_text().replace('"dispatch"', '"dispach"'), encoding="utf-8")

    done = CliRunner().invoke(dss, ["service", "check", str(folder)])

    assert done.stderr.splitlines() == [
        "dispach: is unknown; did you mean dispatch?",
        'dispatch: this section is needed, an object with "provider" and "tag".',
    ]


def test_misspelt_fields_outside_the_section_are_told(folder: Path) -> None:
    described = json.loads((folder / "service.json").read_text(encoding="utf-8"))
    described |= {"citatoin": "Doe", "license": "CC0", "parameters": {"ours": 1}}
    described["tags"][0]["Hints"] = "the scan"
    (folder / "service.json").write_text(json.dumps(described), encoding="utf-8")

    done = CliRunner().invoke(dss, ["service", "check", str(folder)])

    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        "citatoin: is unknown; did you mean citation?",
        "tags[0].Hints: is unknown; did you mean hint?",
    ]


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
    "image",
    [
        "own",
        "own:1.0",
        "localhost/own:latest",
        "Registry.example.org:5000/team/own_tool/x--y:V1.0_rc-1",
        f"docker.io/library/own@sha256:{'0a' * 32}",
        "0123456789ab",
    ],
)
def test_a_name_of_a_container_image_is_taken(image: str) -> None:
    dispatch = {"provider": "container", "tag": "CT", "image": image}

    found = dispatch_from(
        {"dispatch": dispatch | {"command": ["{image}", "{labels}"]}}, None, PUBLISHER
    )

    assert found.image == image


@pytest.mark.parametrize(
    ("first_line", "sentence"),
    [
        ("#!/usr/bin/env python9", "first line of './own' names the interpreter 'python9', which"),
        ("#!/opt/no/bash -e", "names the interpreter '/opt/no/bash', which this machine does not"),
        ("#!/bin/sh\r", "the lines of './own' end as on Windows"),
    ],
)
def test_a_script_without_its_interpreter_is_named(
    folder: Path, first_line: str, sentence: str
) -> None:
    change(folder, provider="program", command=["./own", "{image}", "{labels}"])
    (folder / "own").write_bytes(b"#!/usr/bin/env -S LEVEL=1 sh -e\n")
    (folder / "own").chmod(0o755)
    load(folder)
    (folder / "own").write_bytes(f"{first_line}\n".encode())

    with pytest.raises(ServiceInvalid) as caught:
        load(folder)

    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (
            "import numpy, no_such_module.part",
            "algorithm.py, line 1: this Python has no module 'no_such_module', and the folder has no",
        ),
        ("from no_such_module import x", "line 1: this Python has no module 'no_such_module'"),
        ("from . import other", "line 1: a relative import finds nothing here"),
    ],
)
def test_an_import_that_finds_nothing_is_named(folder: Path, code: str, sentence: str) -> None:
    texts = {f"{code}\ndef segment(image): ...": sentence}
    texts[f"def segment(image):\n    {code}"] = sentence.replace("line 1", "line 2")
    for text, said in texts.items():
        (folder / "algorithm.py").write_text(text, encoding="utf-8")

        with pytest.raises(ServiceInvalid) as caught:
            load(folder)

        assert said in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (
            "from numpy import no_such_name",
            "algorithm.py cannot be loaded. The algorithm failed with ImportError: cannot import name",
        ),
        (
            "import numpy.no_such_part",
            "No module named 'numpy.no_such_part' (algorithm.py, line 1)",
        ),
        ("from other import *", "algorithm.py has no function segment"),
        ("open('weights.pt')", "FileNotFoundError"),
    ],
)
def test_the_check_loads_the_function(folder: Path, code: str, sentence: str) -> None:
    (folder / "other.py").write_text("x = 1\n", encoding="utf-8")
    own = "" if "other" in code else "def segment(image): raise SystemExit"
    (folder / "algorithm.py").write_text(f"{code}\n{own}\n", encoding="utf-8")

    done = CliRunner().invoke(main, ["check", str(folder)])

    assert done.exit_code == 2, done.output
    assert sentence in done.output
    assert "usable" not in done.output


def test_a_new_service_says_what_its_program_lacks(tmp_path: Path) -> None:
    command = ["new", str(tmp_path / "own"), "--run", "./prog {image} {labels}"]

    done = CliRunner().invoke(main, command)

    assert done.exit_code == 0
    assert "Still needed: dispatch.command: there is no file './prog'." in done.output


@pytest.mark.parametrize(
    "code",
    [
        "def segment(image, threshold=3, *rest, level=1, **more): raise SystemExit",
        "from other import segment",
        "from other import *",
        "import other, os.path, xml.etree.ElementTree\ndef segment(image): ...",
        "import sys\nsys.path.append('more')\nimport no_such_module\ndef segment(image): ...",
        "try:\n    import no_such_module\nexcept ImportError:\n    pass\ndef segment(image): ...",
        "def unused():\n    import no_such_module\ndef segment(image): ...",
        "from other import run as segment",
        "if True:\n    def segment(image): ...",
        "try:\n    import fast\n    segment = fast.run\nexcept ImportError:\n    segment = None",
    ],
)
def test_a_function_that_may_be_there_is_no_fault(folder: Path, code: str) -> None:
    (folder / "other.py").touch()
    (folder / "algorithm.py").write_text(code, encoding="utf-8")

    load(folder)
