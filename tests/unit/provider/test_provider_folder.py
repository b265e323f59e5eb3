# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""``dss service new`` and ``check``: a folder works at once, and each fault is named with what is allowed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
from click.testing import CliRunner

from dss_broker.dispatch_section import Modality
from dss_client.__main__ import main as dss
from dss_client.commands.services import own_service as main
from dss_client.console import jar_of
from dss_client.credentials import Credentials
from dss_client.workspace import read_outcome
from dss_provider.commands.site import token_for
from dss_provider.errors import ServiceInvalid
from dss_provider.folder import load
from dss_provider.new_folder import make
from dss_workspace.meshes import mesh_file_names
from dss_workspace.registry import read
from support.builders import write_image


def ramp() -> sitk.Image:
    """(x, y, z) = (4, 5, 6), values 0 to 9 along x."""
    return sitk.GetImageFromArray(np.tile(np.array([0, 3, 6, 9], np.int16), (6, 5, 1)))


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


@pytest.mark.slow
def test_a_trial_leaves_what_a_user_would_get(folder: Path, tmp_path: Path) -> None:
    (folder / "algorithm.py").write_text(
        "import numpy as np\nfrom dss_provider import *\n"
        "def segment(image, landmarks):\n"
        "    points = np.array([image.point_mm(*i) for i in ((0, 0, 0), (3, 0, 0), (0, 3, 3))])\n"
        "    return Result(segmentations=[Segmentation(image.array > 5, {1: 'Bright'})],\n"
        "        meshes={'Hull': Mesh(points_mm=points, triangles=np.array([[0, 1, 2]]))},\n"
        "        landmarks={'far': (0, 0, 999), 'given': landmarks['Tip']}, files={'a.csv': 'x'})\n",
        encoding="utf-8",
    )
    raw = json.loads((folder / "service.json").read_text(encoding="utf-8"))
    raw["tags"].append({"name": "Tip", "type": "PointLandmark", "required": True, "hint": ""})
    (folder / "service.json").write_text(json.dumps(raw), encoding="utf-8")
    image = write_image(tmp_path / "scan.nii.gz", ramp())
    command = ["test", str(folder), str(image), "--output", str(tmp_path / "out")]

    lacking = CliRunner().invoke(main, command)
    done = CliRunner().invoke(main, [*command, "--landmark", "Tip=1,2,3"])

    assert lacking.exit_code == 2
    assert "The service requires 'Tip': --landmark TAG=X,Y,Z" in lacking.output
    assert done.exit_code == 0, done.output
    assert "Bright" in done.output
    assert "Warning: The landmark 'far' lies outside of the image." in done.output
    files = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"picture.png", "a.csv", "image_0.nii.gz"} <= files
    (workspace,) = (tmp_path / "out").glob("*.itksnap")
    assert {f.name for f in read_outcome(workspace).segmentations} < files
    assert set(mesh_file_names(read(workspace))) < files


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        (["--tag", "CT=a.nii"], "The service has no tag 'CT' for --tag TAG=FILE; it has MR."),
        (["--landmark", "Tip=1,2"], "--landmark Tip=1,2: The landmark 'Tip' is at"),
        (["--landmark", "Tip=1,2,3"], "no tag 'Tip' for --landmark TAG=X,Y,Z; it has none."),
    ],
)
def test_a_trial_says_which_tags_there_are(
    folder: Path, tmp_path: Path, option: list[str], sentence: str
) -> None:
    (tmp_path / "a.nii").touch()
    option = [word.replace("a.nii", str(tmp_path / "a.nii")) for word in option]

    done = CliRunner().invoke(main, ["test", str(folder), str(tmp_path / "a.nii"), *option])

    assert (done.exit_code, sentence in done.output) == (2, True), done.output


@pytest.mark.parametrize("token", ["", "a-one-time-token"])
def test_publishing_without_a_token_for_programs_says_where_to_get_one(
    folder: Path, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DSS_TOKEN", token)
    command = ["publish", str(folder), "--server", "http://127.0.0.1:9"]

    done = CliRunner().invoke(main, command)

    assert done.exit_code == 2
    assert "dss-portal tokens create YOU@EXAMPLE.ORG --scope provider" in done.output


def test_publishing_takes_the_token_that_dss_login_keeps(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DSS_TOKEN", raising=False)
    jar = jar_of("http://127.0.0.1:9", None)
    jar.parent.mkdir(parents=True)
    Credentials(jar).keep("dss_kept")

    assert token_for("http://127.0.0.1:9", "") == "dss_kept"
    assert token_for("http://127.0.0.1:9", "dss_given") == "dss_given"


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


def test_a_portal_that_does_not_answer_is_told_at_once(folder: Path) -> None:
    command = ["publish", str(folder), "--server", "http://127.0.0.1:9", "--token", "dss_x"]

    done = CliRunner().invoke(main, command)

    assert done.exit_code == 2
    assert "127.0.0.1:9" in done.output
