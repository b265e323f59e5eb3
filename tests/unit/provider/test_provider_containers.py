# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""A container image as an algorithm, by a stand-in for podman: like podman's, its command may end before its container."""

import json
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_broker.dispatch_section import Modality
from dss_provider import containers
from dss_provider.errors import AlgorithmFailed, ServiceInvalid, Withdrawn
from dss_provider.folder import load
from dss_provider.new_folder import make
from dss_provider.outcome import AlgorithmOutcome
from dss_provider.running import RunInput, run
from support.waiting import wait_until

pytestmark = pytest.mark.slow

ENGINE = """#!{python}
import json, os, subprocess, sys
state, words = {state!r}, sys.argv[1:]
def pid_file(name):
    return os.path.join(state, name + '.pid')
if words[:2] == ['image', 'inspect']:
    sys.exit(0 if words[2] == 'own:1' else 1)
if words[0] in ('kill', 'version'):
    sys.exit(0)
if words[0] == 'ps':
    print(open(os.path.join(state, 'names')).read())
    sys.exit(0)
if words[:2] == ['rm', '--force']:
    open(os.path.join(state, 'removed'), 'a').write(words[2] + '\\n')
    os.path.exists(pid_file(words[2])) and os.kill(int(open(pid_file(words[2])).read()), 9)
    sys.exit(0)
json.dump(words, open(os.path.join(state, 'words.json'), 'w'))
command = words[words.index('own:1') + 1:]
for volume in [words[i + 1] for i, word in enumerate(words) if word == '--volume']:
    outside, inside = volume.split(':')[:2]
    command = [word.replace(inside, outside) for word in command]
environment = {{n: v for n, v in os.environ.items() if n != 'DSS_WORK'}}
container = subprocess.Popen(command, start_new_session=True, env=environment)
name = words[words.index('--name') + 1]
open(pid_file(name) + '.new', 'w').write(str(container.pid))
os.rename(pid_file(name) + '.new', pid_file(name))
sys.exit(container.wait() % 256)
"""


class Boxed:
    """A service whose container runs ``script`` with the words ``$1`` (image) and ``$2`` (labels or output)."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder / "boxed", folder / "state"
        self.state.mkdir()
        (folder / "bin").mkdir()
        engine = folder / "bin/podman"
        engine.write_text(ENGINE.format(python=sys.executable, state=str(self.state)), "utf-8")
        engine.chmod(0o755)
        make(self.folder, Modality.ANY, ("sh", "-c", "exit 1", "{image}", "{labels}"), "own:1")
        array = np.zeros((4, 5, 6), np.int16)
        array[3, 2, 1] = 1
        self.image = folder / "a scan: of one.nii.gz"
        sitk.WriteImage(sitk.GetImageFromArray(array), str(self.image))
        self.runs = 0

    def run(
        self,
        script: str,
        ended: threading.Event | None = None,
        word: str = "{labels}",
        **changes: object,
    ) -> AlgorithmOutcome:
        path = self.folder / "service.json"
        found = json.loads(path.read_text(encoding="utf-8"))
        found["dispatch"]["command"] = ["sh", "-c", script, "sh", "{image}", word]
        found["dispatch"] |= changes
        path.write_text(json.dumps(found), encoding="utf-8")
        self.runs += 1
        self.work = self.folder.parent / f"work{self.runs}"
        self.work.mkdir()
        work = RunInput(folder=self.work, inputs={"Image": self.image})
        return run(load(self.folder), work, lambda *_: None, ended or threading.Event())

    def words(self) -> str:
        return " ".join(json.loads((self.state / "words.json").read_text(encoding="utf-8")))

    def container_ended(self) -> bool:
        (file,) = self.state.glob("*.pid")
        try:
            stat = Path(f"/proc/{file.read_text(encoding='utf-8')}/stat")
            return stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True


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
        ("ln -s /etc/hostname $2", "'segmentation.nii.gz', which is a link"),
        ("mkfifo $2", "'segmentation.nii.gz', which is a link or a device"),
        ("mkdir $2", "'segmentation.nii.gz', which is a link or a device"),
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
        with pytest.raises(AlgorithmFailed, match=f"{name}.*is a link"):
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


@pytest.fixture
def docker(boxed: Boxed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Boxed:
    """A machine with docker alone, and a publisher that is not root.  The command line is that of Docker's reference."""
    (tmp_path / "bin/podman").rename(tmp_path / "bin/docker")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{python_only(tmp_path)}")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("os.getegid", lambda: 100)
    return boxed


def python_only(folder: Path) -> Path:
    """A folder with the programs that the tests' script needs, and no engine."""
    (folder / "tools").mkdir()
    for name in ("sh", "cp"):
        (folder / "tools" / name).symlink_to(f"/bin/{name}")
    return folder / "tools"


def test_docker_gets_the_words_of_its_own_reference(docker: Boxed) -> None:
    found = docker.run("cp $1 $2", memory_gb=1, time_s=60, gpu=True)

    assert len(found.segmentations) == 1
    words = docker.words()
    assert words.startswith("run --rm --name dss-")
    for option in (
        "--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges",
        "--pull never --pids-limit 4096 --log-driver none",
        "--network none",
        "--user 1000:100",
        "--gpus all",
        f"--memory {2**30}b --memory-swap {2**30}b",
    ):
        assert option in words
    assert "--timeout" not in words, "podman's alone"


def test_an_engine_without_its_daemon_says_so(boxed: Boxed, tmp_path: Path) -> None:
    engine = tmp_path / "bin/podman"
    engine.write_text("#!/bin/sh\necho Cannot connect to the daemon. >&2; exit 1\n", "utf-8")

    with pytest.raises(ServiceInvalid) as caught:
        load(boxed.folder)

    assert str(caught.value) == (
        "dispatch.provider: podman does not run containers: Cannot connect to the daemon."
    )


def test_a_machine_without_an_engine_says_so(boxed: Boxed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(containers.CHOICE, "no-such-engine")

    with pytest.raises(ServiceInvalid, match="this machine has no no-such-engine"):
        load(boxed.folder)


def test_containers_of_a_killed_publisher_are_removed_and_no_others(boxed: Boxed) -> None:
    mine = containers.new_name()
    machine, own, began, _ = mine.rsplit("-", 3)
    killed, other = f"{machine}-{own}-{int(began) - 1}-a", f"{machine}x-1-1-a"
    (boxed.state / "names").write_text(f"{mine}\n{killed}\n{other}\nweb\n", encoding="utf-8")

    containers.end_orphans()

    removed = boxed.state / "removed"
    assert removed.read_text(encoding="utf-8").split() == [killed]
    containers.end_orphans(and_own=True)
    assert removed.read_text(encoding="utf-8").split() == [killed, mine, killed]
