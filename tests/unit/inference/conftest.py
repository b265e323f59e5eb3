"""A small chest, what runs bundles, and a worker that copies, shared by the tests of inference."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dss_broker.memory import MemoryBroker
from dss_inference.device.runner import Runner, runner_for
from dss_inference.worker.server import QueueServer
from dss_phantom.chest import Phantom, PhantomSpec, make_phantom
from support.copy_worker import REQUEST, TIMEOUT_S, CopyBundle

SMALL = PhantomSpec(size=(96, 72, 78), spacing_mm=(4.0, 4.0, 4.0))


@pytest.fixture(scope="session")
def runner() -> Runner:
    return runner_for("cpu", threads=2)


@pytest.fixture(scope="session")
def chest(runner: Runner) -> Phantom:
    return make_phantom(SMALL, runner)


@pytest.fixture
def broker() -> Iterator[MemoryBroker]:
    opened = MemoryBroker()
    yield opened
    opened.stop_consuming(TIMEOUT_S)
    opened.close()


@pytest.fixture
def bundle() -> CopyBundle:
    made = CopyBundle()
    made.go_on.set()
    return made


@pytest.fixture
def datastore(tmp_path: Path) -> Path:
    image = tmp_path / "datastore" / REQUEST.image_path
    image.parent.mkdir(parents=True)
    image.write_bytes(b"voxels")
    return tmp_path / "datastore"


@pytest.fixture
def server(broker: MemoryBroker, bundle: CopyBundle, datastore: Path) -> Iterator[QueueServer]:
    made = QueueServer(broker=broker, bundles=[bundle], datastore=datastore, instance="node1")
    made.start()
    yield made
    bundle.go_on.set()
    made.stop(TIMEOUT_S)
