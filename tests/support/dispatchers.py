# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""A dispatcher between a portal and an inference worker that do what a test tells them."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_broker import topology
from dss_broker.broker import Broker, Delivery
from dss_broker.memory import MemoryBroker
from dss_broker.messages import (
    ClaimFailed,
    ClaimGranted,
    ClaimLogged,
    ClaimRefused,
    ClaimSucceeded,
    ClaimTicket,
    InferenceFailed,
    InferenceFinished,
    InferenceProgressed,
    Message,
    Note,
    ReaderAnnounced,
    RunInference,
    ServiceAnnounced,
    TicketReady,
)
from dss_datastore.access import SharedDatastore
from dss_dispatch.consumer import Consumer
from dss_dispatch.service import Service, service_from
from dss_observability.tracing import current_traceparent
from support.builders import LUNGS, segmentation, service_json, write_image

WAIT_S = 60.0
"""Far more than any of these tests needs."""

M = TypeVar("M")


class FakePortal:
    """Grants every claim (unless ``refusal`` says why not) and keeps what it is told, in order."""

    def __init__(
        self,
        broker: Broker,
        *,
        lease_s: float = 60.0,
        refusal: str = "",
        traceparent: str | None = None,
        input_dir: str = "",
    ) -> None:
        self.claims: list[ClaimTicket] = []
        self.events: list[Message] = []
        self.traces: set[str | None] = set()
        self._lease_s, self._refusal, self._traceparent = lease_s, refusal, traceparent
        self._input_dir = input_dir
        self._changed = threading.Condition()
        broker.consume(topology.PORTAL_CLAIMS, self._on_claim)
        broker.consume(topology.PORTAL_EVENTS, self._on_event)

    def _on_claim(self, delivery: Delivery) -> None:
        asked = delivery.message
        assert isinstance(asked, ClaimTicket)
        with self._changed:
            self.claims.append(asked)
            number = len(self.claims)
            self._changed.notify_all()
        delivery.reply(self._answer(asked.ticket_id, number))

    def _answer(self, ticket_id: int, number: int) -> Message:
        if self._refusal:
            return ClaimRefused(ticket_id=ticket_id, reason=self._refusal)
        return ClaimGranted(
            ticket_id=ticket_id,
            claim_id=f"claim{number}",
            attempt=1,
            lease_s=self._lease_s,
            traceparent=self._traceparent,
            input_dir=self._input_dir,
        )

    def _on_event(self, delivery: Delivery) -> None:
        with self._changed:
            self.events.append(delivery.message)
            if not isinstance(delivery.message, ServiceAnnounced | ReaderAnnounced):
                self.traces.add(current_traceparent.get())
            self._changed.notify_all()

    def wait_until(self, condition: Callable[[], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, WAIT_S), self.events

    def of(self, kind: type[M], ticket_id: int = 42) -> list[M]:
        """The events of one class and ticket so far."""
        return [e for e in list(self.events) if isinstance(e, kind) and _ticket_id(e) == ticket_id]

    def logged(self, ticket_id: int = 42) -> list[str]:
        return [event.text for event in self.of(ClaimLogged, ticket_id)]

    def succeeded(self, ticket_id: int = 42) -> ClaimSucceeded:
        self.wait_until(lambda: self.of(ClaimSucceeded, ticket_id))
        return self.of(ClaimSucceeded, ticket_id)[0]

    def failed(self, ticket_id: int = 42) -> ClaimFailed:
        self.wait_until(lambda: self.of(ClaimFailed, ticket_id))
        return self.of(ClaimFailed, ticket_id)[0]


def _ticket_id(event: object) -> int | None:
    return getattr(event, "ticket_id", None)


class FakeWorker:
    """Answers each inference by ``answer``; ``asked`` counts them."""

    def __init__(self, broker: Broker, answer: Callable[[Delivery, RunInference], None]) -> None:
        self.requests: list[RunInference] = []
        self.asked = threading.Semaphore(0)
        self._answer = answer
        broker.consume(topology.inference("lung-segmentation", prefetch=4), self._handle)

    def _handle(self, delivery: Delivery) -> None:
        request = delivery.message
        assert isinstance(request, RunInference)
        self.requests.append(request)
        self.asked.release()
        self._answer(delivery, request)


@dataclass(frozen=True, kw_only=True)
class Writes:
    """Writes ``built`` as the segmentation and says so, after two steps of progress."""

    datastore: Path
    built: sitk.Image
    name: str = "segmentation.nii.gz"

    def __call__(self, delivery: Delivery, request: RunInference) -> None:
        delivery.reply(_progress(request, 0.25, "reading the image"))
        delivery.reply(_progress(request, 0.75, "finding the lungs"))
        path = Path(request.output_dir) / self.name
        write_image(self.datastore / path, self.built)
        delivery.reply(finished(request, path.as_posix()))


def writes(datastore: Path, built: sitk.Image | None = None) -> Writes:
    return Writes(datastore=datastore, built=built or segmentation())


def finished(request: RunInference, path: str) -> InferenceFinished:
    return InferenceFinished(
        ticket_id=request.ticket_id,
        claim_id=request.claim_id,
        segmentation_path=path,
        labels=LUNGS,
        notes=(Note(level="warning", text="The lungs are cut off at the top."),),
        device="cpu",
        stage_seconds={"reading": 0.5, "lungs": 1.5},
    )


def fails(delivery: Delivery, request: RunInference) -> None:
    """The worker refuses the image."""
    reason = "The image is not in Hounsfield units."
    delivery.reply(
        InferenceFailed(ticket_id=request.ticket_id, claim_id=request.claim_id, reason=reason)
    )


def is_silent(delivery: Delivery, request: RunInference) -> None:
    """The worker never answers."""


def _progress(request: RunInference, fraction: float, stage: str) -> InferenceProgressed:
    return InferenceProgressed(
        ticket_id=request.ticket_id, claim_id=request.claim_id, fraction=fraction, stage=stage
    )


def dispatcher(
    broker: MemoryBroker,
    datastore: Path | SharedDatastore,
    *,
    silence_s: float = WAIT_S,
    instance: str = "node1",
    service_url: str = "",
    service: Service | None = None,
) -> Consumer:
    """Not yet started; of the service of ``service_json`` if none is given."""
    return Consumer(
        broker,
        service or service_from(service_json()),
        datastore,
        provider="dss",
        instance=instance,
        silence_s=silence_s,
        service_url=service_url,
    )


def ready(ticket_id: int = 42) -> TicketReady:
    return TicketReady(ticket_id=ticket_id, service="lung-segmentation", service_hash="0" * 40)
