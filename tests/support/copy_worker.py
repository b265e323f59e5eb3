"""A worker whose one bundle copies the image, and what is asked of it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dss_broker.broker import Conversation
from dss_broker.memory import MemoryBroker
from dss_broker.messages import InferenceProgressed, Label, Message, RunInference
from dss_inference.bundle import BundleOutcome, Progress, Report, Stages
from dss_inference.errors import IsCancelled

TIMEOUT_S = 60
LABEL = Label(value=1, name="left lung", rgb=(1, 2, 3), volume_ml=4.5)
REQUEST = RunInference(
    ticket_id=7,
    claim_id="c1",
    bundle="copy",
    image_path="tickets/00000007/input/ct.nii.gz",
    output_dir="tickets/00000007/work/c1/inference",
    parameters={},
)


@dataclass
class CopyBundle:
    """Copies the image.  ``before`` is called first and may raise; ``go_on`` ends the only stage."""

    name: str = "copy"
    device: str = "cpu"
    runs: int = 0
    labels: tuple[Label, ...] = (LABEL,)
    before: Callable[[], None] = lambda: None
    started: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def run(
        self,
        image_path: Path,
        output_dir: Path,
        parameters: dict[str, str],
        progress: Progress,
        cancelled: IsCancelled,
    ) -> BundleOutcome:
        self.runs += 1
        stages = Stages(progress, cancelled)
        stages.enter(0.25, "copying")
        self.before()
        self.started.set()
        assert self.go_on.wait(TIMEOUT_S)
        stages.enter(0.75, "finishing")
        copied = output_dir / "segmentation.nii.gz"
        copied.write_bytes(image_path.read_bytes())
        found = output_dir / "findings.csv"
        found.write_text("none\n", encoding="utf-8")
        return BundleOutcome(
            segmentation=copied,
            labels=self.labels,
            notes=(),
            stage_seconds=stages.seconds(),
            reports=(Report(path=found, description="Findings", mime_type="text/csv"),),
        )


def replies(broker: MemoryBroker, request: RunInference) -> list[Message]:
    """All, up to the one that ends the conversation."""
    conversation = broker.request(request)
    heard: list[Message] = []
    while not heard or isinstance(heard[-1], InferenceProgressed):
        heard.append(conversation.next(TIMEOUT_S))
    return heard


def ended(conversation: Conversation) -> Message:
    heard = conversation.next(TIMEOUT_S)
    while isinstance(heard, InferenceProgressed):
        heard = conversation.next(TIMEOUT_S)
    return heard
