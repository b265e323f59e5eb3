"""Workers that die between two steps which belong together: computed twice at most, and one result."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dss_broker import topology
from dss_broker.messages import InferenceFinished
from dss_inference.worker.server import QueueServer
from support import brokers
from support.brokers import RabbitBench
from support.copy_worker import REQUEST, CopyBundle, ended

pytestmark = [pytest.mark.stack]

SOON_S = 30.0
TESTS = Path(__file__).parents[1]
COPY = topology.inference("copy")

DOOMED = """
import os, sys, threading
from pathlib import Path
from support.copy_worker import CopyBundle
from dss_broker.rabbit import RabbitBroker
from dss_broker.rabbit.consumer import Consumer
from dss_broker.rabbit.deaths import DeathCounter
from dss_inference.worker.server import QueueServer
url, datastore, when = sys.argv[1:]
def die(*_):
    os._exit(9)
def full():
    raise OSError(28, "No space left on device")
bundle = CopyBundle(before=full if when == "copied" else lambda: None)
bundle.go_on.set()
if when == "marked":
    begin = DeathCounter.begin
    DeathCounter.begin = lambda self, hand: die() if begin(self, hand) is None else None
else:
    Consumer._acknowledge = die
broker = RabbitBroker(url, "inference", "doomed", retry_delays_s=(0.05, 0.05))
QueueServer(broker=broker, bundles=[bundle], datastore=Path(datastore), instance="doomed").start()
threading.Event().wait(60)
"""


@pytest.fixture
def datastore(tmp_path: Path) -> Path:
    image = tmp_path / REQUEST.image_path
    image.parent.mkdir(parents=True)
    image.write_bytes(b"voxels")
    return tmp_path


url = brokers.url
bench = brokers.bench


def die(url: str, datastore: Path, when: str) -> None:
    command = [sys.executable, "-c", DOOMED, url, str(datastore), when]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    died = subprocess.run(command, env=environment, check=False, timeout=60, capture_output=True)
    assert died.returncode == 9, died.stderr


@pytest.mark.parametrize(
    "case",
    [
        pytest.param((["copied"], 1, 2), id="between a retry's copy and the acknowledgement"),
        pytest.param((["answered"], 0, 1), id="between the answer and the acknowledgement"),
        pytest.param((["answered", "marked"], 0, 1), id="between the mark and the work"),
        pytest.param((["copied", "marked", "answered"], 0, 1), id="one after the other"),
    ],
)
def test_a_worker_that_dies_between_two_steps_costs_one_computation_at_most(
    url: str, bench: RabbitBench, datastore: Path, case: tuple[list[str], int, int]
) -> None:
    """How often the worker that follows computes; the one before has done so once, unless its disk was full."""
    crashes, computed, answers = case
    dispatcher, away = bench.program("dispatch"), bench.program("inference")
    away.consume(COPY, lambda _: None)
    assert away.stop_consuming(SOON_S)
    away.close()
    conversation = dispatcher.request(REQUEST)
    for crash in crashes:
        die(url, datastore, crash)

    bundle = CopyBundle()
    bundle.go_on.set()
    broker = bench.program("inference")
    worker = QueueServer(broker=broker, bundles=[bundle], datastore=datastore, instance="healthy")
    worker.start()
    heard = [ended(conversation) for _ in range(answers)]

    assert worker.stop(SOON_S)
    assert {type(answer) for answer in heard} == {InferenceFinished}
    assert bundle.runs == computed
    assert (datastore / REQUEST.output_dir / "segmentation.nii.gz").read_bytes() == b"voxels"
    with dispatcher.dead_letters() as session:
        assert session.letters == []
