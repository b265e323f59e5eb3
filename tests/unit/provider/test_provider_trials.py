# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""``dss service test`` and ``publish``: what a trial leaves, and what is said before anything is published."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
from click.testing import CliRunner

from dss_client.commands.services import own_service as main
from dss_client.console import jar_of
from dss_client.credentials import Credentials
from dss_client.workspace import read_outcome
from dss_provider.commands.site import token_for
from dss_workspace.meshes import mesh_file_names
from dss_workspace.registry import read
from support import new_folders
from support.builders import write_image
from support.dicom_series import SERIES, stack, write

folder = new_folders.folder


def ramp() -> sitk.Image:
    """(x, y, z) = (4, 5, 6), values 0 to 9 along x."""
    return sitk.GetImageFromArray(np.tile(np.array([0, 3, 6, 9], np.int16), (6, 5, 1)))


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
    assert f"The results are in {tmp_path / 'out'}; picture.png shows them.\n" in done.output
    assert "Warning: The landmark 'far' lies outside of the image." in done.output
    files = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"picture.png", "a.csv", "image_0.nii.gz"} <= files
    (workspace,) = (tmp_path / "out").glob("*.itksnap")
    assert {f.name for f in read_outcome(workspace).segmentations} < files
    assert set(mesh_file_names(read(workspace))) < files


@pytest.mark.slow
def test_the_picture_of_a_trial_shows_the_first_segmentation(folder: Path, tmp_path: Path) -> None:
    (folder / "algorithm.py").write_text(
        "from dss_provider import *\n"
        "def segment(image):\n"
        "    first = Segmentation(image.array > 5, {1: Label(name='One', rgb=(255, 0, 0))}, 'Zebra')\n"
        "    other = Segmentation(image.array < 2, {1: Label(name='Two', rgb=(0, 0, 255))}, 'Ant')\n"
        "    return Result(segmentations=[first, other])\n",
        encoding="utf-8",
    )
    image = write_image(tmp_path / "scan.nii.gz", ramp())
    out = tmp_path / "out"

    done = CliRunner().invoke(main, ["test", str(folder), str(image), "--output", str(out)])

    assert done.exit_code == 0, done.output
    pixels = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "picture.png"))).reshape(-1, 3)
    assert (pixels == (255, 0, 0)).all(axis=1).any()


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


def test_a_portal_that_does_not_answer_is_told_at_once(folder: Path) -> None:
    command = ["publish", str(folder), "--server", "http://127.0.0.1:9", "--token", "dss_x"]

    done = CliRunner().invoke(main, command)

    assert done.exit_code == 2
    assert "127.0.0.1:9" in done.output


def test_a_trial_leaves_the_image_as_it_is(tmp_path: Path) -> None:
    new = ["new", str(tmp_path / "greedy"), "--run", "sh -c 'cat {image} > {labels}; : > {image}'"]
    assert CliRunner().invoke(main, new).exit_code == 0
    image = write_image(tmp_path / "scan.nii.gz", ramp())
    before = image.read_bytes()

    done = CliRunner().invoke(main, ["test", str(tmp_path / "greedy"), str(image)])

    assert done.exit_code == 1
    assert "has changed or removed the image" in done.output
    assert image.read_bytes() == before


@pytest.mark.slow
def test_a_trial_reads_the_series_of_a_dicom_folder_that_is_named(
    folder: Path, tmp_path: Path
) -> None:
    """Series 3 has 20 slices of 16 x 16 voxels of 3 cubic millimetres, series 4 has 10."""
    (folder / "algorithm.py").write_text(
        "from dss_provider import *\n"
        "def segment(image): return Segmentation(image.array > -1e9, {1: 'All'})\n",
        encoding="utf-8",
    )
    other = {"SeriesInstanceUID": f"{SERIES}.4", "SeriesNumber": 4}
    write(tmp_path / "study", stack())
    write(tmp_path / "study/other", stack(count=10, tags=other))
    command = ["test", str(folder), str(tmp_path / "study")]

    longest = CliRunner().invoke(main, command)
    named = CliRunner().invoke(main, [*command, "--series", "4"])

    assert (longest.exit_code, named.exit_code) == (0, 0), longest.output + named.output
    assert "DICOM series 3 (CT) of 20 slices, sorted by position." in longest.output
    assert re.search(r"All +15\.4 ml", longest.output), longest.output
    assert re.search(r"All +7\.7 ml", named.output), named.output


def test_a_trial_reads_the_dicom_folder_of_a_further_tag(folder: Path, tmp_path: Path) -> None:
    raw = json.loads((folder / "service.json").read_text(encoding="utf-8"))
    raw["tags"].append({"name": "CT", "type": "OverlayImage", "required": True})
    (folder / "service.json").write_text(json.dumps(raw), encoding="utf-8")
    (folder / "algorithm.py").write_text(
        "from dss_provider import *\n"
        "def segment(images):\n"
        "    raise CannotSegment(f'CT: {images[\"CT\"].array.shape}')\n",
        encoding="utf-8",
    )
    image = write_image(tmp_path / "scan.nii.gz", ramp())
    study = write(tmp_path / "study", stack())

    done = CliRunner().invoke(main, ["test", str(folder), str(image), "--tag", f"CT={study}"])

    assert "CT: (20, 16, 16)" in done.output


def test_a_trial_of_what_has_no_series_says_what_is_needed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    image = write_image(tmp_path / "scans/scan.nii.gz", ramp())

    of_folder = CliRunner().invoke(main, ["test", str(folder), str(image.parent)])
    of_image = CliRunner().invoke(main, ["test", str(folder), str(image), "--series", "3"])

    assert (of_folder.exit_code, of_image.exit_code) == (2, 2)
    assert "There is no DICOM image in scans; it holds" in of_folder.output
    assert "scan.nii.gz is no DICOM folder, so there is no series 3." in of_image.output


def test_an_output_that_cannot_be_a_folder_is_told_before_the_trial(
    folder: Path, tmp_path: Path
) -> None:
    image = write_image(tmp_path / "scan.nii.gz", ramp())

    done = CliRunner().invoke(main, ["test", str(folder), str(image), "--output", str(image)])

    assert (done.exit_code, done.output) == (2, f"{image} is a file; the results need a folder.\n")


def test_a_trial_of_what_is_not_there_says_so(folder: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["test", str(folder), str(tmp_path / "none.nii")])

    assert (done.exit_code, done.output) == (2, f"There is no file {tmp_path}/none.nii.\n")


def test_a_trial_tells_which_values_have_no_name(folder: Path, tmp_path: Path) -> None:
    (folder / "algorithm.py").write_text(
        "from dss_provider import *\ndef segment(image): return Segmentation(image.array, {3: 'Three'})\n",
        encoding="utf-8",
    )
    image = write_image(tmp_path / "scan.nii.gz", ramp())

    done = CliRunner().invoke(main, ["test", str(folder), str(image)])

    assert "Warning: no name is given for the values 6, 9; users read 'Label 6'." in done.output
