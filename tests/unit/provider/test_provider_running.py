# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""An algorithm runs in a process of its own; whatever it does becomes a result or a sentence."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from dss_provider.errors import AlgorithmFailed, Withdrawn
from support import trials
from support.trials import Trial

pytestmark = pytest.mark.slow

image = trials.image
trial = trials.trial


def test_a_function_gets_the_image_and_returns_labels(trial: Trial) -> None:
    found = trial.run(
        "def segment(image, progress):\n"
        "    assert image.spacing_mm == (1.0, 2.0, 3.0)\n"
        "    progress(0.5, 'Half')\n"
        "    print('not a message')\n"
        "    return Segmentation(image.array > 500, {1: Label(name='Dot', rgb=(1, 2, 3))})\n"
    )

    array = np.load(trial.work / found.segmentations[0].file)
    assert np.argwhere(array).tolist() == [[3, 2, 1]]
    (label,) = found.segmentations[0].labels
    assert (label.value, label.name, label.rgb) == (1, "Dot", (1, 2, 3))
    assert trial.told == [(0.5, "Half")]


def test_a_function_may_ask_for_more_and_return_more(trial: Trial) -> None:
    trial.dispatch(parameters={"threshold": 500})

    found = trial.run(
        "def segment(images, landmarks, parameters):\n"
        "    image = images['Image']\n"
        "    dots = Segmentation((image.array > parameters['threshold']).astype(int))\n"
        "    return Result(segmentations=(dots, dots), images={'probability': image.array / 1000.0},\n"
        "        landmarks={'dot': image.point_mm(1, 2, 3)}, files={'table.csv': 'a,b'}, remarks=('Look.',))\n"
    )

    assert len(found.segmentations) == 2
    assert np.load(trial.work / found.images[0].file).max() == 1
    assert found.landmarks == {"dot": (1.0, 4.0, 9.0)}
    assert (trial.work / "files" / "table.csv").read_text(encoding="utf-8") == "a,b"
    assert found.remarks == ("Look.",)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (
            "def segment(image): return 1 / 0",
            r"ZeroDivisionError: division by zero \(algorithm.py, line 4\)",
        ),
        ("def segment(image): raise CannotSegment('No lung is in view.')", "^No lung is in view.$"),
        ("def segment(image): sys.exit(3)", "failed with SystemExit: 3"),
        ("def segment(image): os._exit(7)", "ended with status 7"),
        ("def segment(image): os.kill(os.getpid(), 9)", "ended by the signal SIGKILL"),
        ("def segment(image): return image.array + 0.5", "values that are no whole numbers"),
        ("def segment(image): os._exit(0)", "ended without a result"),
        ("def segment(image): raise CannotSegment('')", "cannot segment this image"),
        ("def segment(image): raise ValueError('two\\nlines')", "ValueError: two lines"),
        (
            "def segment(image): raise OSError(28, 'No space')",
            "disk of the provider's machine is full",
        ),
        ("segment = 3", "algorithm.py has no function segment"),
        ("segment = lambda threshold: 1", "segment asks for 'threshold'; it may ask for image"),
        ("import numpy.no_such_part", "ModuleNotFoundError: No module named 'numpy.no_such_part'"),
    ],
)
def test_what_goes_wrong_is_a_sentence(trial: Trial, code: str, sentence: str) -> None:
    with pytest.raises(AlgorithmFailed, match=sentence):
        trial.run(code)


def test_values_that_are_no_hounsfield_units_are_told_of_a_ct_alone(trial: Trial) -> None:
    code = "def segment(image): return Segmentation(image.array > 500)"

    assert trial.run(code).remarks == ()
    trial.dispatch(modality="CT")
    assert "no value below 0" in trial.run(code).remarks[0]


def test_too_much_memory_and_time_end_the_algorithm_alone(trial: Trial) -> None:
    trial.dispatch(memory_gb=4)
    with pytest.raises(AlgorithmFailed, match=r"needed more memory than it may have \(.* GB\)"):
        trial.run("def segment(image): return np.ones(10**10)")

    trial.dispatch(time_s=1)
    with pytest.raises(AlgorithmFailed, match="took longer than the 1 s"):
        trial.run("def segment(image): time.sleep(60)")


def test_a_withdrawn_ticket_ends_the_algorithm_and_what_it_started(trial: Trial) -> None:
    code = (
        "import subprocess\n"
        "def segment(image, progress):\n"
        "    child = subprocess.Popen(['sleep', '60'])\n"
        "    progress(0.1, str(child.pid))\n"
        "    child.wait()\n"
    )
    ended = threading.Event()

    def end() -> None:
        while not trial.told:
            time.sleep(0.05)
        ended.set()

    threading.Thread(target=end).start()
    with pytest.raises(Withdrawn):
        trial.run(code, ended)

    state = Path(f"/proc/{trial.told[0][1]}/stat")
    assert not state.exists() or state.read_text(encoding="utf-8").split()[2] == "Z"


def test_copies_and_threads_that_a_function_leaves_behind_change_nothing(trial: Trial) -> None:
    found = trial.run(
        "import threading\n"
        "def segment(image):\n"
        "    threading.Thread(target=time.sleep, args=(300,)).start()\n"
        "    if os.fork() == 0:\n"
        "        return Segmentation(image.array > 10**6)\n"
        "    os.wait()\n"
        "    return Segmentation(image.array > 500)\n"
    )

    assert np.load(trial.work / found.segmentations[0].file).sum() == 1


def test_names_in_the_service_go_before_those_of_the_function(trial: Trial) -> None:
    trial.dispatch(labels=[{"value": 1, "name": "Site's name", "rgb": [1, 2, 3]}])

    found = trial.run("def segment(image): return Segmentation(image.array > 500, {1: 'Dot'})")

    (label,) = found.segmentations[0].labels
    assert (label.name, label.rgb) == ("Site's name", (1, 2, 3))


def test_temporary_files_go_with_the_ticket(trial: Trial) -> None:
    code = (
        "import tempfile\ndef segment(image):\n"
        "    return Result(files={'where.txt': tempfile.mkdtemp()}, remarks=['x'])"
    )

    trial.run(code)

    where = Path((trial.work / "files/where.txt").read_text(encoding="utf-8"))
    assert where.is_relative_to(trial.work)
