# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""A provider gets the time point of a series that the user chose, and its results lie at that time point."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
from click.testing import CliRunner, Result

from dss_broker.dispatch_section import Modality
from dss_client.commands.services import own_service as main
from dss_dispatch.result.provider_results import check_provider_results
from dss_images.grid import difference
from dss_images.reading import array_of, read_header
from dss_provider.folder import load
from dss_provider.new_folder import make
from dss_provider.server_trial import SendArguments
from dss_workspace.registry import Folder, read
from support.builders import LayerSpec, WorkspaceSpec, time_points_xml, workspace_xml
from support.one_ticket_portal import Works

COUNT = 3
FRAMES = np.stack([np.full((6, 5, 4), n, np.int16) for n in range(1, COUNT + 1)])
FRAMES[:, 0] = 0


def series(path: Path, frames: np.ndarray[Any, Any] = FRAMES) -> Path:
    """An oblique series, which has no value but 0 and the number of its time point."""
    made = [sitk.GetImageFromArray(frame) for frame in frames]
    for one in made:
        one.SetSpacing((0.7, 1.1, 2.3))
        one.SetOrigin((-10.1, 20.2, 30.3))
        one.SetDirection((0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, -1))
    sitk.WriteImage(sitk.JoinSeries(made) if len(made) > 1 else made[0], str(path))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make(tmp_path / "own", Modality.ANY)
    return tmp_path / "own"


def tried(folder: Path, image: Path, *options: str) -> Result:
    words = ["test", str(folder), str(image), "--output", str(folder.parent / "out"), *options]
    return CliRunner().invoke(main, words)


def write(folder: Path, code: str) -> None:
    text = f"import numpy as np\nfrom dss_provider import *\n{code}"
    (folder / "algorithm.py").write_text(text, encoding="utf-8")


def change(folder: Path, tags: tuple[dict[str, object], ...] = (), **dispatch: object) -> None:
    raw = json.loads((folder / "service.json").read_text(encoding="utf-8"))
    raw["dispatch"] |= dispatch
    raw["tags"] += tags
    (folder / "service.json").write_text(json.dumps(raw), encoding="utf-8")


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def accepted(folder: Path, image: Path) -> tuple[str, ...]:
    """The remarks of the portal's check on the results in ``folder / out`` for a ticket with ``image``."""
    sent, out = folder / "sent", folder / "out"
    sent.mkdir()
    name = f"image_0{''.join(image.suffixes)}"
    (sent / name).write_bytes(image.read_bytes())
    spec = WorkspaceSpec(layers=(LayerSpec(tags="Image", file_name=name),))
    (sent / "a.itksnap").write_bytes(workspace_xml(spec))
    (out / "picture.png").unlink()
    return check_provider_results(out, [path.name for path in out.iterdir()], sent)


RESULT = """
def segment(image):
    assert image.array.shape == (6, 5, 4)
    tip = image.point_mm(1, 2, 3)
    points = np.array([image.point_mm(*i) for i in ((0, 0, 0), (3, 0, 0), (0, 3, 3))])
    return Result(segmentations=[Segmentation(image.array, {n: str(n) for n in (1, 2, 3)})],
        images={"Twice": image.array * 2}, landmarks={"tip": tip},
        meshes={"Hull": Mesh(points_mm=points, triangles=np.array([[0, 1, 2]]))})
"""


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("chosen", [1, 3])
def test_a_function_works_on_the_chosen_time_point(
    folder: Path, tmp_path: Path, chosen: int, suffix: str
) -> None:
    write(folder, RESULT)
    image = series(tmp_path / f"scan{suffix}")

    done = tried(folder, image, "--time-point", str(chosen))

    assert done.exit_code == 0, done.output
    assert f"Of 3 time points, number {chosen} is looked at." in done.output
    out = tmp_path / "out"
    for pattern, times in (("seg_*", 1), ("image_[!0]*", 2)):
        header = read_header(only(out, pattern))
        found = array_of(header)
        assert difference(header.grid.volume, read_header(image).grid.volume) == ""
        assert (found[chosen - 1] == times * FRAMES[chosen - 1]).all()
        assert [bool(frame.any()) for frame in found] == [n == chosen for n in (1, 2, 3)]
    assert accepted(tmp_path, image) == ()


def test_a_mesh_lies_at_the_chosen_time_point(folder: Path, tmp_path: Path) -> None:
    """ITK-SNAP 4.0 stops at the first number that is missing, so the ones before are there without a mesh."""
    write(folder, RESULT)

    assert tried(folder, series(tmp_path / "scan.nii"), "--time-point", "2").exit_code == 0

    workspace = read(only(tmp_path / "out", "*.itksnap"))
    places = workspace.find("MeshLayers.Layer[000].MeshTimePoints") or Folder()
    meshes = {p.get("TimePoint"): len(p.folders) for p in places.folders.values()}
    assert meshes == {"1": 0, "2": 1}


def test_a_program_gets_a_file_of_the_chosen_time_point(tmp_path: Path) -> None:
    make(tmp_path / "own", Modality.ANY, ("cp", "{image}", "{labels}"))
    image = series(tmp_path / "scan.nii.gz")

    done = tried(tmp_path / "own", image, "--time-point", "2")

    assert done.exit_code == 0, done.output
    found = array_of(read_header(only(tmp_path / "out", "seg_*")))
    assert [int(frame.max()) for frame in found] == [0, 2, 0]
    assert accepted(tmp_path, image) == ()


SECOND = {"name": "Dose", "type": "OverlayImage", "required": True, "hint": ""}
BOTH = "def segment(images): return images['Image'].array * 0 + images['Dose'].array"


@pytest.mark.parametrize(("frames", "value"), [(FRAMES, 2), (FRAMES[2:], 3)])
def test_a_second_image_is_taken_at_the_same_time_point(
    folder: Path, tmp_path: Path, frames: np.ndarray[Any, Any], value: int
) -> None:
    change(folder, (SECOND,))
    write(folder, BOTH)
    other = series(tmp_path / "dose.nii.gz", frames)

    words = ("--time-point", "2", "--tag", f"Dose={other}")
    done = tried(folder, series(tmp_path / "scan.nii.gz"), *words)

    assert done.exit_code == 0, done.output
    found = array_of(read_header(only(tmp_path / "out", "seg_*")))
    assert [int(frame.max()) for frame in found] == [0, value, 0]


def test_a_second_image_of_other_time_points_is_refused(folder: Path, tmp_path: Path) -> None:
    change(folder, (SECOND,))
    write(folder, BOTH)
    other = series(tmp_path / "dose.nii.gz", FRAMES[:2])

    words = ("--time-point", "2", "--tag", f"Dose={other}")
    done = tried(folder, series(tmp_path / "scan.nii.gz"), *words)

    assert done.exit_code == 1
    assert "The image tagged 'Dose' has 2 time points, the main one 3" in done.output


@pytest.mark.parametrize(
    ("frames", "options", "sentence"),
    [
        (FRAMES, [], "The image has 3 time points, and none is tagged 'TimePoint'."),
        (FRAMES, ["--time-point", "4"], "no time point 4 to choose: the image has 3 time points."),
        (FRAMES[:1], ["--time-point", "1"], "no time point 1 to choose: the image has one"),
    ],
)
def test_a_time_point_that_is_not_there_is_refused(
    folder: Path, tmp_path: Path, frames: np.ndarray[Any, Any], options: list[str], sentence: str
) -> None:
    done = tried(folder, series(tmp_path / "scan.nii.gz", frames), *options)

    assert (done.exit_code, sentence in done.output) == (1, True), done.output


def without_tag(folder: Path) -> None:
    raw = json.loads((folder / "service.json").read_text(encoding="utf-8"))
    raw["tags"], raw["dispatch"]["time_point"] = raw["tags"][:1], ""
    (folder / "service.json").write_text(json.dumps(raw), encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "The image has 3 time points; this service takes one volume. Send one time point"),
        (["--time-point", "1"], "The service takes no --time-point: dispatch.time_point of"),
    ],
)
def test_a_service_without_a_tag_for_time_points_refuses_a_series(
    folder: Path, tmp_path: Path, options: list[str], sentence: str
) -> None:
    without_tag(folder)

    done = tried(folder, series(tmp_path / "scan.nii.gz"), *options)

    assert (done.exit_code, sentence in done.output) == (1, True), done.output


WITHOUT_A_CHOICE = (
    "The image has 3 time points. This service takes no choice of one: its program got all of them, and what it found "
    "may be of any."
)


LANDMARK = (
    "import sys; open(sys.argv[2] + '/landmarks.csv', 'w').write('name,x,y,z\\nTip,1,2,3\\n')"
)
MAP = "import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2] + '/segmentation.nii.gz')"


def program(folder: Path, *command: str) -> Path:
    """The service's folder with this command in place of its function, and without a tag for time points."""
    raw = json.loads((folder / "service.json").read_text(encoding="utf-8"))
    raw["dispatch"] |= {"provider": "program", "command": command}
    (folder / "service.json").write_text(json.dumps(raw), encoding="utf-8")
    without_tag(folder)
    return folder


def test_a_program_for_one_label_map_gets_no_series(folder: Path, tmp_path: Path) -> None:
    program(folder, "cp", "{image}", "{labels}")

    done = tried(folder, series(tmp_path / "scan.nii.gz"))

    assert done.exit_code == 1
    assert "The image has 3 time points; this service takes one volume." in done.output


def test_a_program_that_gets_a_series_may_not_return_a_segmentation(
    folder: Path, tmp_path: Path
) -> None:
    program(folder, sys.executable, "-c", MAP, "{image}", "{output}")

    done = tried(folder, series(tmp_path / "scan.nii.gz"))

    assert done.exit_code == 1
    assert (
        "got all 3 time points of the image and has written a segmentation, which must"
        in done.output
    )


def test_a_result_of_a_series_is_warned_of(folder: Path, tmp_path: Path) -> None:
    program(folder, sys.executable, "-c", LANDMARK, "{image}", "{output}")

    done = tried(folder, series(tmp_path / "scan.nii.gz"))
    alone = series(tmp_path / "one.nii.gz", FRAMES[:1])
    of_one = CliRunner().invoke(main, ["test", str(folder), str(alone)])

    assert (done.exit_code, of_one.exit_code) == (0, 0), done.output
    assert f"Warning: {WITHOUT_A_CHOICE}\n" in done.output
    assert "time points" not in of_one.output


def test_a_user_who_chose_a_time_point_reads_that_the_program_got_all(tmp_path: Path) -> None:
    works = ticket(tmp_path, "", "TimePoint")
    program(works.folder, sys.executable, "-c", LANDMARK, "{image}", "{output}")

    assert works() == "success"

    assert works.portal.lines[0] == f"{WITHOUT_A_CHOICE} The tag of time point 2 had no effect."


def test_the_check_says_that_nothing_reads_a_tag_for_time_points(folder: Path) -> None:
    change(folder, time_point="")

    done = CliRunner().invoke(main, ["check", str(folder)])

    assert done.exit_code == 2
    assert "dispatch.time_point: must name the tag 'TimePoint'." in done.output


def ticket(tmp_path: Path, *tags: str) -> Works:
    works = Works(tmp_path)
    series(tmp_path / "scan.nii.gz")
    works.portal.workspace = WorkspaceSpec(
        layers=(LayerSpec(tags="Image", file_name="image.nii.gz"),), extra=time_points_xml(*tags)
    )
    return works


def test_the_user_of_a_ticket_reads_which_time_point_was_looked_at(tmp_path: Path) -> None:
    works = ticket(tmp_path, "", "TimePoint")

    assert works("def segment(image): return image.array") == "success"

    assert works.portal.lines[0] == "Of 3 time points, number 2 is looked at."
    assert "Label 2: 0.2 ml" in works.portal.lines


@pytest.mark.parametrize(
    ("tags", "sentence"),
    [
        ((), "The image has 3 time points, and none is tagged 'TimePoint'."),
        (("TimePoint", "TimePoint"), "2 of them are tagged 'TimePoint'."),
        (("", "", "", "TimePoint"), "Time point 4 is tagged 'TimePoint', but the image has 3."),
    ],
)
def test_a_ticket_without_one_chosen_time_point_fails_with_a_sentence(
    tmp_path: Path, tags: tuple[str, ...], sentence: str
) -> None:
    works = ticket(tmp_path, *tags)

    assert works() == "failed"

    assert sentence in works.portal.lines[-1]


def test_a_real_trial_sends_the_chosen_time_point_and_series(folder: Path) -> None:
    sent = SendArguments(
        service=load(folder),
        server="",
        token="",
        images={"Image": Path("scan.nii.gz")},
        output=None,
        series="4",
        time_point=2,
    )

    assert {"--time-point=2", "--series=4"} <= set(sent.words)
