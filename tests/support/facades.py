# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Inference over HTTP for tests: a quick bundle, and a server that has it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
from werkzeug.test import Client

from dss_broker.messages import Label, Landmark
from dss_inference.bundle import Bundle, BundleOutcome, Progress, Report, Stages
from dss_inference.errors import IsCancelled
from dss_inference.facade.request_store import RequestStore
from dss_inference.facade.routes import Facade
from dss_inference.facade.serving import serve_facade
from dss_inference.facade.submissions import Submissions
from support.facade_requests import TIMEOUT_S
from support.stacks import free_port

LARGEST_BYTES = 100_000
PLACE = Landmark(text="the brightest", position_mm=(-32.8, 13.05, 9.5), rgb=(1, 2, 3))
TABLE = b"number,score\n1,0.5\n"
LABEL = Label(value=1, name="bright", rgb=(1, 2, 3), volume_ml=4.5)


@dataclass
class BrightBundle:
    """Marks what is above -1, with a table and a landmark; waits for ``go_on``, after ``before``, which may
    raise.
    """

    name: str = "lung-segmentation"
    device: str = "cpu"
    runs: int = 0
    parameters: dict[str, str] = field(default_factory=dict)
    before: Callable[[], None] = lambda: None
    go_on: threading.Event = field(default_factory=threading.Event)

    def run(
        self,
        image_path: Path,
        output_dir: Path,
        parameters: dict[str, str],
        progress: Progress,
        cancelled: IsCancelled,
    ) -> BundleOutcome:
        self.runs, self.parameters = self.runs + 1, parameters
        stages = Stages(progress, cancelled)
        stages.enter(0.25, "looking")
        self.before()
        while not self.go_on.wait(0.01):
            stages.enter(0.5, "pausing")
        path = output_dir / "segmentation.nii.gz"
        sitk.WriteImage(sitk.ReadImage(image_path) > -1, path)
        table = output_dir / "findings.csv"
        table.write_bytes(TABLE)
        return BundleOutcome(
            segmentation=path,
            labels=(LABEL,),
            notes=(),
            stage_seconds=stages.seconds(),
            landmarks=(PLACE,),
            reports=(Report(path=table, description="What is bright", mime_type="text/csv"),),
        )


@contextmanager
def facade(bundle: Bundle, folder: Path, port: int = 0, host: str = "127.0.0.1") -> Iterator[str]:
    """A server's address; ended after the block, with what is in hand left for the next."""
    port = port or free_port()
    submissions = Submissions([bundle], RequestStore(folder), instance="remote", keep_s=3600)
    end = serve_facade(f"{host}:{port}", Facade(submissions, 10_000_000))
    submissions.start()
    try:
        yield f"http://{host}:{port}"
    finally:
        end()
        submissions.stop(0)


@pytest.fixture
def bundle() -> BrightBundle:
    made = BrightBundle()
    made.go_on.set()
    return made


@pytest.fixture
def results(tmp_path: Path) -> RequestStore:
    return RequestStore(tmp_path / "output")


@pytest.fixture
def submissions(bundle: BrightBundle, results: RequestStore) -> Iterator[Submissions]:
    made = Submissions([bundle], results, instance="node1", keep_s=3600)
    made.start()
    yield made
    bundle.go_on.set()
    made.stop(TIMEOUT_S)


@pytest.fixture
def client(submissions: Submissions) -> Client:
    return Client(Facade(submissions, LARGEST_BYTES))
