"""Power failures in the middle of a ticket: it ends once, with the right result, and its log says what happened."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_client.itksnap import ItkSnap
from dss_client.records import Detail
from dss_client.sending import Sent, send
from dss_client.workspace import read_outcome
from dss_inference.device.runner import Runner
from dss_inference.worker.recorded_answers import TAKEN_OVER
from dss_phantom.chest import Phantom, PhantomSpec, make_phantom
from support import loopback
from support.builders import write_image
from support.stacks import Stack
from support.waiting import wait_until
from support.watchers import Quiet

pytestmark = [pytest.mark.stack]


class Accident(Quiet):
    """Does ``harm`` once, as soon as a log line begins with ``at``."""

    def __init__(self, at: str, harm: Callable[[], None]) -> None:
        self._at = at
        self._harm = harm
        self.happened = False

    def polled(self, detail: Detail) -> None:
        if not self.happened and any(line.message.startswith(self._at) for line in detail.log):
            self.happened = True
            self._harm()


@pytest.fixture(scope="module")
def chest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Phantom, Path]:
    """Large enough that there is time for an accident."""
    spec = PhantomSpec(size=(240, 240, 180), spacing_mm=(1.6, 1.6, 1.75))
    phantom = make_phantom(spec, Runner("cpu"))
    return phantom, write_image(tmp_path_factory.mktemp("chest") / "ct.nii.gz", phantom.ct)


def restarted(stack: Stack, program: str) -> Callable[[], None]:
    def harm() -> None:
        stack.kill(program)
        stack.start_one(program)

    return harm


def assert_right(sent: Sent, phantom: Phantom) -> None:
    assert sent.status == "success", sent.log
    assert sent.results is not None
    (file,) = read_outcome(sent.results.workspace).segmentations
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(file))) > 0
    truth = sitk.GetArrayFromImage(phantom.truth) > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.98


def claims(sent: Sent) -> int:
    return sum(line.message.startswith("Ticket claimed by") for line in sent.log)


def computed(stack: Stack) -> int:
    """How often the worker has finished an inference, by itself."""
    exposed = loopback.get(f"http://127.0.0.1:{stack.health_ports['inference']}/metrics").text
    found = re.search(
        r'^dss_inference_requests_total\{bundle="[\w-]*lung[\w-]*",outcome="finished"\} (\S+)',
        exposed,
        re.MULTILINE,
    )
    assert found, exposed
    return int(float(found[1]))


def test_a_dispatcher_that_dies_loses_no_ticket(
    stack: Stack, ann: ItkSnap, chest: tuple[Phantom, Path], tmp_path: Path
) -> None:
    before = computed(stack)
    accident = Accident("Inference:", restarted(stack, "dispatch"))

    sent = send(ann, chest[1], "lung-segmentation", tmp_path, accident)

    assert accident.happened
    assert_right(sent, chest[0])
    assert claims(sent) == 2
    assert TAKEN_OVER.text in [line.message for line in sent.log]
    assert computed(stack) == before + 1  # the worker went on, and its work was not for nothing


def test_a_worker_that_dies_loses_no_ticket(
    stack: Stack, ann: ItkSnap, chest: tuple[Phantom, Path], tmp_path: Path
) -> None:
    accident = Accident("Inference:", restarted(stack, "inference"))

    sent = send(ann, chest[1], "lung-segmentation", tmp_path, accident)

    assert accident.happened
    assert_right(sent, chest[0])
    assert claims(sent) == 1


def test_what_happens_while_no_portal_runs_is_told_afterwards(
    stack: Stack, ann: ItkSnap, chest: tuple[Phantom, Path], tmp_path: Path
) -> None:
    accident = Accident("Inference:", restarted(stack, "portal"))
    back = Patient(stack, accident)

    sent = send(ann, chest[1], "lung-segmentation", tmp_path, back)

    assert accident.happened
    assert_right(sent, chest[0])
    lines = [line.message for line in sent.log]
    assert len(lines) == len(set(lines))


class Patient(Quiet):
    """Waits after the accident until the portal answers again, as a user would."""

    def __init__(self, stack: Stack, accident: Accident) -> None:
        self._stack = stack
        self._accident = accident

    def polled(self, detail: Detail) -> None:
        before = self._accident.happened
        self._accident.polled(detail)
        if self._accident.happened and not before:
            wait_until(lambda: "lung-segmentation" in self._stack.announced(), 30, self._stack.logs)


def test_a_withdrawn_ticket_stops_the_work_on_it(
    stack: Stack, ann: ItkSnap, chest: tuple[Phantom, Path]
) -> None:
    class Withdraw(Quiet):
        ticket = 0

        def created(self, ticket: int) -> None:
            self.ticket = ticket

        def polled(self, detail: Detail) -> None:
            if any(line.message.startswith("Inference:") for line in detail.log):
                ann.delete(self.ticket)

    sent = send(ann, chest[1], "lung-segmentation", None, Withdraw())

    assert sent.status == "deleted"
    folder = stack.datastore / "tickets" / f"{sent.ticket:08d}"
    wait_until(lambda: not folder.exists(), 20, stack.logs)
