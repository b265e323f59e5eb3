"""One thread computes; reading and writing go on beside it."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dss_broker.memory import MemoryBroker
from dss_broker.messages import InferenceProgressed, RunInference
from dss_inference.bundle import WAITING, BundleOutcome, Progress, Stages
from dss_inference.device.compute_thread import ComputeThread
from dss_inference.errors import Cancelled
from dss_inference.worker.server import QueueServer

TIMEOUT_S = 60


def never() -> bool:
    return False


@pytest.fixture
def many() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def test_all_work_is_done_in_the_same_thread_one_after_the_other(many: ThreadPoolExecutor) -> None:
    compute = ComputeThread()
    inside: list[str] = []
    most = 0

    def work() -> str:
        nonlocal most
        inside.append("in")
        most = max(most, len(inside))
        time.sleep(0.01)
        inside.pop()
        return threading.current_thread().name

    names = list(many.map(lambda _: compute(work, never), range(12)))

    assert set(names) == {"compute"}
    assert most == 1


def test_an_error_reaches_whoever_asked_and_the_thread_lives_on() -> None:
    compute = ComputeThread()

    with pytest.raises(ZeroDivisionError):
        compute(lambda: 1 / 0, never)

    assert compute(lambda: 7, never) == 7


def test_who_is_cancelled_while_waiting_is_never_worked_on(many: ThreadPoolExecutor) -> None:
    compute, go_on, done = ComputeThread(), threading.Event(), []
    first = many.submit(compute, lambda: go_on.wait(TIMEOUT_S), never)
    second = many.submit(compute, lambda: done.append("second"), lambda: True)

    with pytest.raises(Cancelled):
        second.result(TIMEOUT_S)

    go_on.set()
    assert first.result(TIMEOUT_S)
    compute(lambda: None, never)
    assert done == []


def test_waiting_for_the_device_is_no_part_of_the_works_own_time() -> None:
    told: list[str] = []
    stages = Stages(lambda _, stage: told.append(stage), never)

    stages.enter(0.1, "reading")
    stages.on_device(ComputeThread(), lambda: stages.enter(0.2, "computing"))

    assert told == ["reading", WAITING, "computing"]
    assert set(stages.seconds()) == {"reading", "computing"}


@dataclass
class Slow:
    """Tells when an image is read, computes for as long as ``go_on`` is not set."""

    name: str = "slow"
    device: str = "cpu"
    compute: ComputeThread = field(default_factory=ComputeThread)
    read: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    go_on: threading.Event = field(default_factory=threading.Event)

    def run(
        self,
        image_path: Path,
        output_dir: Path,
        parameters: dict[str, str],
        progress: Progress,
        cancelled: object,
    ) -> BundleOutcome:
        stages = Stages(progress, never)
        stages.enter(0.1, "reading")
        self.read.release()
        stages.on_device(self.compute, lambda: self.go_on.wait(TIMEOUT_S))
        found = output_dir / "segmentation.nii.gz"
        found.write_bytes(image_path.read_bytes())
        return BundleOutcome(
            segmentation=found, labels=(), notes=(), stage_seconds=stages.seconds()
        )


def test_the_next_image_is_read_while_the_last_one_is_on_the_device(tmp_path: Path) -> None:
    (tmp_path / "ct.nii.gz").write_bytes(b"voxels")
    broker, bundle = MemoryBroker(), Slow()
    server = QueueServer(
        broker=broker, bundles=[bundle], datastore=tmp_path, instance="node1", shared=False
    )
    server.start()

    talks = [broker.request(asked(number)) for number in (1, 2)]
    both_read = all(bundle.read.acquire(timeout=TIMEOUT_S) for _ in talks)
    bundle.go_on.set()

    assert both_read
    for talk in talks:
        while isinstance(talk.next(TIMEOUT_S), InferenceProgressed):
            pass
    assert server.stop(TIMEOUT_S)
    broker.close()


def asked(number: int) -> RunInference:
    return RunInference(
        ticket_id=number,
        claim_id="c1",
        bundle="slow",
        image_path="ct.nii.gz",
        output_dir=f"out/{number}",
        parameters={},
    )
