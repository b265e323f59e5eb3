# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""A container image as an algorithm, by a stand-in for podman: like podman's, its command may end before its container."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from dss_provider.errors import AlgorithmFailed, ServiceInvalid, Withdrawn
from dss_provider.folder import load
from dss_provider.running import RunInput, run
from support.boxed import Boxed
from support.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def boxed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Boxed:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return Boxed(tmp_path)


def test_a_container_reads_an_image_and_writes_labels(boxed: Boxed) -> None:
    found = boxed.run("cp $1 $2", memory_gb=2, time_s=60)

    assert np.load(boxed.work / found.segmentations[0].file).sum() == 1
    words = boxed.words()
    assert "--network none" in words
    assert "--read-only" in words
    assert "--cap-drop ALL --security-opt no-new-privileges" in words
    assert f"--memory {2**31}b --memory-swap {2**31}b" in words
    assert "--timeout 90" in words
    assert ":/input:ro" in words
    assert " /input/image_0.nii.gz " in words, "the name of the user's file is not handed on"
    assert "nvidia.com/gpu" not in words

    boxed.run("cp $1 $2", network=True, gpu=True)
    assert "--network" not in boxed.words()
    assert "--device nvidia.com/gpu=all" in boxed.words()


def test_a_container_does_not_outlive_its_time(boxed: Boxed) -> None:
    with pytest.raises(AlgorithmFailed, match="took longer than the 2 s"):
        boxed.run("exec sleep 300", time_s=2)

    wait_until(boxed.container_ended, 60)


def test_a_container_ends_with_its_ticket(boxed: Boxed) -> None:
    ended = threading.Event()

    def end() -> None:
        wait_until(lambda: bool([*boxed.state.glob("*.pid")]), 60)
        ended.set()

    threading.Thread(target=end).start()
    with pytest.raises(Withdrawn):
        boxed.run("exec sleep 300", ended)

    wait_until(boxed.container_ended, 60)


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("exit 125", "^The container could not be started.$"),
        ("exit 127", "has no such command, or cannot run it .status 127."),
        ("exit 137", "ended by the signal SIGKILL. It may use 8 GB"),
        ("exit 3", "ended with status 3"),
        ("ln -s /etc/hostname $2", "'segmentation.nii.gz', which is a folder, a link"),
        ("mkfifo $2", "'segmentation.nii.gz', which is a folder, a link or a device"),
        ("mkdir $2", "'segmentation.nii.gz', which is a folder, a link or a device"),
    ],
)
def test_what_goes_wrong_in_a_container_is_a_sentence(
    boxed: Boxed, script: str, sentence: str
) -> None:
    with pytest.raises(AlgorithmFailed, match=sentence):
        boxed.run(script)


def test_files_of_the_folder_are_read_and_links_are_not(boxed: Boxed) -> None:
    (boxed.state / "secret.csv").write_text("name,x,y,z\nsecret,1,1,1\n", encoding="utf-8")

    found = boxed.run("cp $1 $2/segmentation_Dot.nii.gz; echo a > $2/t.csv", word="{output}")
    assert (found.files, found.segmentations[0].called) == (("t.csv",), "Dot")
    for name in ("landmarks.csv", "remarks.txt", "mesh_a.vtk", "image_b.nii.gz", "table.csv"):
        with pytest.raises(AlgorithmFailed, match=f"{name}.*a link or a device"):
            boxed.run(f"ln -s {boxed.state}/secret.csv $2/{name}", word="{output}")


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("dot,1,1,1\\ndot,2,2,2", "Line 3 of landmarks.csv is a second landmark 'dot'"),
        ("dot,1,1", "The landmark 'dot' is at"),
    ],
)
def test_no_landmark_replaces_another_one(boxed: Boxed, rows: str, sentence: str) -> None:
    script = f"printf 'name,x,y,z\\n{rows}\\n' > $2/landmarks.csv"

    with pytest.raises(AlgorithmFailed, match=sentence):
        boxed.run(script, word="{output}")


def test_a_table_of_landmarks_that_cannot_be_read_is_told(boxed: Boxed) -> None:
    script = """awk 'BEGIN{printf "name,x,y,z\\n\\""; for(i=0;i<200000;i++) printf "a"}' > $2/landmarks.csv"""

    with pytest.raises(AlgorithmFailed, match=r"landmarks\.csv cannot be read: field larger"):
        boxed.run(script, word="{output}")


def test_an_image_that_is_not_there_is_named_with_the_way_to_get_it(boxed: Boxed) -> None:
    with pytest.raises(
        ServiceInvalid, match="no image 'other:2'; get it with: podman pull other:2"
    ):
        boxed.run("", image="other:2")


def test_the_output_may_be_written_by_any_user(boxed: Boxed) -> None:
    boxed.run("cp $1 $2/segmentation.nii.gz; stat -c %a $2 > $2/mode.txt", word="{output}")

    mode = (boxed.work / "files/mode.txt").read_text(encoding="utf-8").strip()
    assert mode == "777"


def test_a_container_gets_further_images_parameters_and_landmarks(boxed: Boxed) -> None:
    path = boxed.folder / "service.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    found["tags"].append({"name": "PET", "type": "OverlayImage", "required": True, "hint": ""})
    found["dispatch"] |= {
        "command": ["sh", "-c", "cp $1 $2; cp $3 $2/p.json", "sh", "{image:PET}", "{output}", "{parameters}", "{image}"],
        "parameters": {"level": "3"},
    }  # fmt: skip
    path.write_text(json.dumps(found), encoding="utf-8")
    other = boxed.folder.parent / "segmentation.nii.gz"
    other.write_bytes(boxed.image.read_bytes())
    work = boxed.folder.parent / "work"
    work.mkdir()
    inputs = {"Image": boxed.image, "PET": other}

    outcome = run(
        load(boxed.folder),
        RunInput(folder=work, inputs=inputs, landmarks={"Tip": (1.0, 2.0, 3.0)}),
        lambda *_: None,
        threading.Event(),
    )

    given = json.loads((work / "files/p.json").read_text(encoding="utf-8"))
    assert given == {"parameters": {"level": "3"}, "landmarks": {"Tip": [1.0, 2.0, 3.0]}}
    assert [i.called for i in outcome.images] == ["1"], "it is called image_1"
