# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""A ticket's way through a dispatcher, with all that may happen to it there."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from dss_broker import label_colours, topology
from dss_broker.broker import Delivery
from dss_broker.errors import TryAgainLater
from dss_broker.memory import MemoryBroker
from dss_broker.messages import (
    ClaimFailed,
    ClaimHeartbeat,
    ClaimLogged,
    ClaimProgressed,
    ClaimRefused,
    ClaimSucceeded,
    InferenceFinished,
    Landmark,
    Message,
    ReportFile,
    RunInference,
    ServiceAnnounced,
    TicketWithdrawn,
    WorkerAnnounced,
)
from dss_datastore import layout
from dss_dispatch import claim_request
from dss_dispatch.inference import queue_inference
from dss_dispatch.service import service_from
from dss_observability import tracing
from dss_workspace.registry import parse
from support.builders import (
    MAIN,
    WorkspaceSpec,
    image,
    segmentation,
    service_json,
    submit,
    write_image,
)
from support.dispatchers import (
    WAIT_S,
    FakePortal,
    FakeWorker,
    dispatcher,
    fails,
    finished,
    is_silent,
    ready,
    writes,
)


@pytest.fixture
def broker() -> Iterator[MemoryBroker]:
    opened = MemoryBroker()
    yield opened
    opened.stop_consuming(0)
    opened.close()


@dataclass(frozen=True, kw_only=True)
class InHand:
    """A delivery as a handler gets it."""

    message: Message
    attempt: int = 1
    message_id: str = "delivery1"
    redelivered: bool = False
    deliveries: int = 1
    age_s: float | None = None
    parked_reason: str | None = None

    def reply(self, message: Message) -> "Future[None]":
        raise AssertionError(f"nobody asked for {message}")


@dataclass(frozen=True, kw_only=True)
class Quick(InHand):
    """A delivery whose inference, as its reply says, took 0.1 s."""

    delivery: Delivery

    def reply(self, message: Message) -> "Future[None]":
        if isinstance(message, InferenceFinished):
            message = replace(message, stage_seconds={"lungs": 0.1})
        return self.delivery.reply(message)


def work(datastore: Path, claim_id: str = "claim1") -> Path:
    return datastore / layout.work_dir(42, claim_id)


def test_a_ticket_ends_in_checked_files_that_the_portal_can_publish(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    """The ancestors' fault 7: the main image is among the results."""
    portal = FakePortal(broker)
    FakeWorker(broker, writes(tmp_path))
    submit(tmp_path)
    dispatcher(broker, tmp_path).start(parallel=1)

    broker.publish(ready())

    files = portal.succeeded().files
    staged = tmp_path / layout.staging_dir(42, "claim1")
    assert MAIN.file_name in {file.name for file in files}
    assert {file.name: file.size_bytes for file in files} == {
        path.name: path.stat().st_size for path in staged.iterdir()
    }
    assert broker.stop_consuming(10)
    # The portal removes them with the claim; until then another dispatcher may need them.
    assert sorted(path.name for path in work(tmp_path).iterdir()) == ["inference", "results"]


def test_the_end_tells_the_device_and_the_time_without_waiting_for_a_worker(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    """The worker answers after 0.5 s and says that it worked for 0.1 s of them."""
    portal = FakePortal(broker)
    write = writes(tmp_path)

    def is_late(delivery: Delivery, request: RunInference) -> None:
        time.sleep(0.5)
        write(Quick(message=request, delivery=delivery), request)

    FakeWorker(broker, is_late)
    submit(tmp_path)
    began_s = time.monotonic()
    dispatcher(broker, tmp_path).start(parallel=1)

    broker.publish(ready())

    ended = portal.succeeded()
    passed_s = time.monotonic() - began_s
    assert ended.device == "cpu"
    assert 0.1 <= ended.work_s < passed_s - 0.35


def test_what_the_sender_says_about_its_image_is_in_the_log(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    portal = FakePortal(broker)
    FakeWorker(broker, writes(tmp_path))
    note = '<folder key="Element[0]" ><entry key="Level" value="warning" /><entry key="Text" value="Tilted." /></folder>'
    extra = f'<folder key="DSS" ><folder key="Notes" >{note}</folder></folder>'
    submit(tmp_path, spec=WorkspaceSpec(extra=extra))
    dispatcher(broker, tmp_path).start(parallel=1)

    broker.publish(ready())
    portal.succeeded()

    lines = [m for m in portal.events if isinstance(m, ClaimLogged)]
    assert ("warning", "From the sender: Tilted.") in [(line.level, line.text) for line in lines]


def test_what_was_found_is_left_for_the_portal_and_marked_in_the_workspace(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    portal = FakePortal(broker)
    x, y, z = image().TransformIndexToPhysicalPoint((4, 5, 6))

    def finds(delivery: Delivery, request: RunInference) -> None:
        path = f"{request.output_dir}/segmentation.nii.gz"
        write_image(tmp_path / path, segmentation())
        (tmp_path / request.output_dir / "findings.csv").write_text("number\n", encoding="utf-8")
        answer = replace(
            finished(request, path),
            landmarks=(Landmark(text="nodule", position_mm=(x, y, z), rgb=(255, 0, 0)),),
            reports=(
                ReportFile(
                    path=f"{request.output_dir}/findings.csv", description="F", mime_type="text/csv"
                ),
            ),
        )
        delivery.reply(answer)

    FakeWorker(broker, finds)
    submit(tmp_path)
    dispatcher(broker, tmp_path).start(parallel=1)

    broker.publish(ready())

    portal.succeeded()
    (line,) = [event for event in portal.of(ClaimLogged) if event.attachments]
    attached = tmp_path / layout.attached_dir(42, "claim1") / line.attachments[0].name
    assert attached.read_text(encoding="utf-8") == "number\n"
    (workspace,) = (tmp_path / layout.staging_dir(42, "claim1")).glob("*.itksnap")
    landmark = "Annotations.Annotations.Element[0].Pos"
    position = [float(n) for n in parse(workspace.read_bytes()).get(landmark).split()]
    assert position == pytest.approx([4.5, 5.5, 6.5], abs=1e-3)


def test_a_picture_has_a_line_of_its_own_and_is_drawn_in_the_colours_of_the_service(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    portal = FakePortal(broker)
    asked: list[RunInference] = []

    def draws(delivery: Delivery, request: RunInference) -> None:
        asked.append(request)
        path = f"{request.output_dir}/segmentation.nii.gz"
        write_image(tmp_path / path, segmentation())
        reports = []
        for name, mime_type in (("found.csv", "text/csv"), ("picture.png", "image/png")):
            (tmp_path / request.output_dir / name).write_bytes(b"x")
            place = f"{request.output_dir}/{name}"
            reports.append(ReportFile(path=place, description=name, mime_type=mime_type))
        delivery.reply(replace(finished(request, path), reports=tuple(reports)))

    FakeWorker(broker, draws)
    submit(tmp_path)
    raw = service_json()
    raw["dispatch"]["labels"] = [{"value": 1, "name": "lung", "rgb": [1, 2, 3]}]
    dispatcher(broker, tmp_path, service=service_from(raw)).start(parallel=1)

    broker.publish(ready())

    portal.succeeded()
    lines = [event for event in portal.of(ClaimLogged) if event.attachments]
    assert [[file.name for file in line.attachments] for line in lines] == [
        ["picture.png"],
        ["found.csv"],
    ]
    assert label_colours.read(asked[0].parameters[label_colours.PARAMETER]) == {1: (1, 2, 3)}


def test_a_segmentation_in_nrrd_keeps_its_format(broker: MemoryBroker, tmp_path: Path) -> None:
    """A worker writes NRRD where NIfTI would move the grid."""
    portal = FakePortal(broker)
    FakeWorker(broker, replace(writes(tmp_path), name="segmentation.nrrd"))
    submit(tmp_path)
    dispatcher(broker, tmp_path).start(parallel=1)

    broker.publish(ready())

    names = [file.name for file in portal.succeeded().files]
    assert len([name for name in names if name.startswith("seg_") and name.endswith(".nrrd")]) == 1


def test_the_worker_is_asked_for_the_tagged_layer_by_its_path(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    portal = FakePortal(broker)
    worker = FakeWorker(broker, writes(tmp_path))
    submit(tmp_path)
    dispatcher(broker, tmp_path).start(parallel=1)

    broker.publish(ready())

    portal.succeeded()
    assert worker.requests == [
        RunInference(
            ticket_id=42,
            claim_id="claim1",
            bundle="lung-segmentation",
            image_path=f"tickets/00000042/input/{MAIN.file_name}",
            output_dir="tickets/00000042/work/claim1/inference",
            parameters={},
            silence_s=WAIT_S,
        )
    ]


def test_the_user_reads_each_stage_the_volumes_and_what_the_algorithm_says(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    portal = FakePortal(broker)
    FakeWorker(broker, writes(tmp_path))
    submit(tmp_path)
    dispatcher(broker, tmp_path).start(parallel=1)

    broker.publish(ready())

    portal.succeeded()
    assert [(event.level, event.text) for event in portal.of(ClaimLogged)] == [
        ("info", "Reading the workspace."),
        ("info", "The layer tagged 'CT' has 12 x 10 x 8 voxels."),
        ("info", "Asking for inference with 'lung-segmentation'."),
        ("info", "Inference: reading the image."),
        ("info", "Inference: finding the lungs."),
        ("warning", "The lungs are cut off at the top."),
        ("info", "left lung: 2345 ml"),
        ("info", "right lung: 2501 ml"),
        ("info", "Inference took 2.0 s on cpu."),
        ("info", "Building the result workspace."),
        ("info", "Checking the result."),
    ]


def test_the_progress_grows_to_the_end_and_the_end_is_told_last(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    portal = FakePortal(broker)
    FakeWorker(broker, writes(tmp_path))
    submit(tmp_path)
    dispatcher(broker, tmp_path).start(parallel=1)

    broker.publish(ready())

    portal.succeeded()
    told = [
        (event.chunk_start, event.chunk_end, event.progress) for event in portal.of(ClaimProgressed)
    ]
    assert told == [
        (0.0, 0.1, 1.0),
        (0.1, 0.9, 0.25),
        (0.1, 0.9, 0.75),
        (0.1, 0.9, 1.0),
        (0.9, 0.95, 1.0),
        (0.95, 1.0, 1.0),
    ]
    assert isinstance(portal.events[-1], ClaimSucceeded)


def test_the_reason_of_the_worker_reaches_the_user_and_nothing_is_left_behind(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    """The ancestors' fault 5."""
    portal = FakePortal(broker)
    FakeWorker(broker, fails)
    submit(tmp_path)
    dispatcher(broker, tmp_path).start(parallel=1)

    broker.publish(ready())

    assert portal.failed().reason == "The image is not in Hounsfield units."
    assert broker.stop_consuming(10)
    assert not work(tmp_path).exists()


def test_after_a_ticket_that_cannot_be_done_the_next_one_works(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    portal = FakePortal(broker)
    FakeWorker(broker, writes(tmp_path))
    submit(tmp_path, 43)
    dispatcher(broker, tmp_path).start(parallel=1)

    broker.publish(ready(42))
    broker.publish(ready(43))

    assert "no workspace" in portal.failed(42).reason
    assert len(portal.succeeded(43).files) == 3


def test_a_segmentation_that_does_not_lie_on_the_image_is_never_handed_out(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    portal = FakePortal(broker)
    shifted = segmentation()
    shifted.SetOrigin((0.0, 0.0, 0.0))
    FakeWorker(broker, writes(tmp_path, shifted))
    submit(tmp_path)
    dispatcher(broker, tmp_path).start(parallel=1)

    broker.publish(ready())

    assert "does not lie on its image: origin" in portal.failed().reason
    assert broker.stop_consuming(10)
    assert not work(tmp_path).exists()


def test_a_file_that_the_worker_was_not_asked_to_write_is_not_used(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    portal = FakePortal(broker)
    elsewhere = f"tickets/00000042/input/{MAIN.file_name}"

    def answers(delivery: Delivery, request: RunInference) -> None:
        delivery.reply(finished(request, elsewhere))

    FakeWorker(broker, answers)
    submit(tmp_path)
    dispatcher(broker, tmp_path).start(parallel=1)

    broker.publish(ready())

    assert "not left its files" in portal.failed().reason


def test_what_nobody_foresaw_ends_in_a_sentence_with_the_tickets_number(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    def answers_nonsense(delivery: Delivery, request: RunInference) -> None:
        delivery.reply(ClaimRefused(ticket_id=request.ticket_id, reason="?"))

    portal = FakePortal(broker)
    FakeWorker(broker, answers_nonsense)
    submit(tmp_path)
    dispatcher(broker, tmp_path).start(parallel=1)

    broker.publish(ready())

    reason = portal.failed().reason
    assert reason.startswith("An unexpected error stopped the work")
    assert "42" in reason


def test_a_refused_claim_is_dropped_in_silence(broker: MemoryBroker, tmp_path: Path) -> None:
    portal = FakePortal(broker, refusal="The ticket is in state deleted.")
    worker = FakeWorker(broker, writes(tmp_path))
    submit(tmp_path)
    dispatcher(broker, tmp_path).start(parallel=1)

    broker.publish(ready())

    portal.wait_until(lambda: portal.claims)
    assert broker.stop_consuming(10)
    assert (worker.requests, portal.logged(), broker.parked) == ([], [], [])


def test_the_work_belongs_to_the_trace_of_the_ticket_that_was_granted(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    """Which may be another than the one that the message tells of."""
    of_message, of_ticket = (f"00-{digit * 32}-{'7' * 16}-01" for digit in "12")
    portal = FakePortal(broker, traceparent=of_ticket)
    FakeWorker(broker, writes(tmp_path))
    submit(tmp_path)
    dispatcher(broker, tmp_path).start(parallel=1)

    with tracing.within(of_message):
        broker.publish(ready())

    portal.succeeded()
    assert portal.traces == {of_ticket}


def test_a_withdrawn_ticket_ends_without_a_word(broker: MemoryBroker, tmp_path: Path) -> None:
    portal = FakePortal(broker)
    worker = FakeWorker(broker, is_silent)
    submit(tmp_path)
    dispatcher(broker, tmp_path).start(parallel=1)
    broker.publish(ready())
    assert worker.asked.acquire(timeout=10)

    broker.publish(TicketWithdrawn(ticket_id=42, service="lung-segmentation"))

    submit(tmp_path, 43)
    broker.publish(ready(43))  # the only thread is free again
    assert worker.asked.acquire(timeout=10)
    assert portal.of(ClaimFailed) + portal.of(ClaimSucceeded) == []
    assert not work(tmp_path).exists()


def test_a_dispatcher_that_has_lost_its_claim_leaves_the_files_without_a_word(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    portal = FakePortal(broker)
    worker = FakeWorker(broker, is_silent)
    submit(tmp_path)
    dispatcher(broker, tmp_path).start(parallel=1)
    broker.publish(ready())
    assert worker.asked.acquire(timeout=10)

    taken = TicketWithdrawn(ticket_id=42, service="lung-segmentation", claim_id="claim1")
    broker.publish(taken)

    submit(tmp_path, 43)
    broker.publish(ready(43))  # the only thread is free again
    assert worker.asked.acquire(timeout=10)
    assert portal.of(ClaimFailed) + portal.of(ClaimSucceeded) == []
    assert work(tmp_path).exists()  # the next one goes on with what is found there


def test_the_withdrawal_of_another_ticket_changes_nothing(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    portal = FakePortal(broker)
    go_on = threading.Event()
    answer = writes(tmp_path)

    def waits(delivery: Delivery, request: RunInference) -> None:
        assert go_on.wait(10)
        answer(delivery, request)

    worker = FakeWorker(broker, waits)
    submit(tmp_path)
    dispatcher(broker, tmp_path).start(parallel=1)
    broker.publish(ready())
    assert worker.asked.acquire(timeout=10)

    broker.publish(TicketWithdrawn(ticket_id=41, service="lung-segmentation"))
    go_on.set()

    assert len(portal.succeeded().files) == 3


def test_a_quiet_inference_keeps_its_claim_by_heartbeats(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    portal = FakePortal(broker, lease_s=0.09)
    FakeWorker(broker, is_silent)
    submit(tmp_path)
    dispatcher(broker, tmp_path).start(parallel=1)

    broker.publish(ready())

    portal.wait_until(lambda: len(portal.of(ClaimHeartbeat)) >= 3)
    broker.publish(TicketWithdrawn(ticket_id=42, service="lung-segmentation"))


def test_a_silent_worker_is_tried_again_and_given_up_with_a_sentence(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    portal = FakePortal(broker)
    FakeWorker(broker, is_silent)
    submit(tmp_path)
    dispatcher(broker, tmp_path, silence_s=0.05).start(parallel=1)

    broker.publish(ready())

    assert portal.failed().reason.startswith("No inference worker answers for 'lung-segmentation'.")
    assert len(portal.claims) == 5
    warnings = [event.text for event in portal.of(ClaimLogged) if event.level == "warning"]
    assert warnings == [
        "No inference worker answers for 'lung-segmentation'. The ticket is tried again in a while."
    ]


def test_who_waits_behind_a_long_inference_is_told_so_and_not_given_up(
    broker: MemoryBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The only worker is busy for longer than it may be silent; it lives, and says so."""
    monkeypatch.setattr(queue_inference, "BUSY_S", 0.1)
    portal = FakePortal(broker)
    announced, free = threading.Event(), threading.Event()

    def is_busy(delivery: Delivery, request: RunInference) -> None:
        assert free.wait(WAIT_S)
        writes(tmp_path)(delivery, request)

    def announce() -> None:
        while not announced.wait(0.1):
            broker.publish(WorkerAnnounced(bundle="lung-segmentation", instance="w", device="cpu"))

    announcing = threading.Thread(target=announce)
    announcing.start()
    FakeWorker(broker, is_busy)
    submit(tmp_path)
    dispatcher(broker, tmp_path, silence_s=0.6).start(parallel=1)

    broker.publish(ready())
    portal.wait_until(lambda: "Inference: waiting for a worker that is free." in portal.logged())
    time.sleep(2)  # several times as long as a silent worker is waited for
    free.set()

    portal.succeeded()
    announced.set()
    announcing.join()
    assert len(portal.claims) == 1


def test_nobody_is_missed_while_the_broker_is_away(
    broker: MemoryBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal, free = FakePortal(broker), threading.Event()

    def is_cut_off(delivery: Delivery, request: RunInference) -> None:
        assert free.wait(WAIT_S)
        writes(tmp_path)(delivery, request)

    worker = FakeWorker(broker, is_cut_off)
    submit(tmp_path)
    dispatcher(broker, tmp_path, silence_s=0.6).start(parallel=1)
    monkeypatch.setattr(MemoryBroker, "connected", False)

    broker.publish(ready())
    assert worker.asked.acquire(timeout=WAIT_S)
    time.sleep(2)  # several times as long as a silent worker is waited for
    monkeypatch.setattr(MemoryBroker, "connected", True)
    free.set()

    portal.succeeded()
    assert len(portal.claims) == 1


def test_without_any_worker_the_ticket_is_tried_again(broker: MemoryBroker, tmp_path: Path) -> None:
    portal = FakePortal(broker)
    submit(tmp_path)

    with pytest.raises(TryAgainLater, match="has ever offered"):
        dispatcher(broker, tmp_path).handle(InHand(message=ready()))

    portal.wait_until(lambda: len(portal.logged()) == 4)
    assert "tried again" in portal.logged()[-1]
    portal.wait_until(lambda: [beat.pause_s for beat in portal.of(ClaimHeartbeat)] == [1.0])
    assert not work(tmp_path).exists()


def test_a_dispatcher_takes_no_ticket_before_its_datastore_is_mounted(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    """All tickets would seem to lack their files, and fail."""
    portal = FakePortal(broker)
    datastore, volume = tmp_path / "mount point", tmp_path / "volume"
    datastore.mkdir()
    submit(volume)
    FakeWorker(broker, writes(datastore))
    dispatcher(broker, datastore).start(parallel=1)
    broker.publish(ready())
    time.sleep(1)
    assert portal.claims == []

    datastore.rmdir()
    volume.rename(datastore)

    portal.succeeded()


def test_a_datastore_that_is_lost_at_work_fails_no_ticket(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    portal = FakePortal(broker)
    datastore, away = tmp_path / "datastore", tmp_path / "away"
    losses = iter([True, False])

    def is_lost(delivery: Delivery, request: RunInference) -> None:
        if next(losses):
            datastore.rename(away)
            delivery.reply(finished(request, f"{request.output_dir}/segmentation.nii.gz"))
        else:
            writes(datastore)(delivery, request)

    worker = FakeWorker(broker, is_lost)
    submit(datastore)
    dispatcher(broker, datastore).start(parallel=1)
    broker.publish(ready())
    assert worker.asked.acquire(timeout=WAIT_S)
    time.sleep(1)

    away.rename(datastore)

    portal.succeeded()
    assert portal.of(ClaimFailed) == []


def test_a_dispatcher_waits_for_a_portal_however_long_none_is_there(
    broker: MemoryBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hours without a portal or its database park no message, and so fail no ticket."""
    monkeypatch.setattr(claim_request, "RESEND_S", (0.1,))
    monkeypatch.setattr(claim_request, "POLL_S", 0.02)
    FakeWorker(broker, writes(tmp_path))
    submit(tmp_path)
    dispatcher(broker, tmp_path).start(parallel=1)
    broker.publish(ready())
    time.sleep(1)  # many times as long as it waits for one answer

    portal = FakePortal(broker)

    portal.succeeded()
    assert len({(c.delivery_id, c.deliveries, c.instance) for c in portal.claims}) == 1
    with broker.dead_letters() as tray:
        assert tray.letters == []


def test_a_dispatcher_that_is_stopped_while_it_waits_for_a_portal_hands_the_ticket_back(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    submit(tmp_path)
    asked = threading.Event()
    broker.consume(topology.PORTAL_CLAIMS, lambda _: asked.set())
    waiting = dispatcher(broker, tmp_path)
    waiting.start(parallel=1)
    broker.publish(ready())
    assert asked.wait(WAIT_S)

    assert waiting.stop(WAIT_S)

    successor = MemoryBroker(broker.server)
    broker.close()
    portal = FakePortal(successor)
    dispatcher(successor, tmp_path, instance="node2").start(parallel=1)
    portal.wait_until(lambda: [c.instance for c in portal.claims] == ["node2"])
    successor.close()


def test_a_delivery_is_not_done_before_its_end_is_told_and_the_files_stay(
    broker: MemoryBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakePortal(broker)
    FakeWorker(broker, writes(tmp_path))
    submit(tmp_path)
    nowhere = MemoryBroker().publish
    publish = broker.publish
    monkeypatch.setattr(
        broker, "publish", lambda m: (nowhere if isinstance(m, ClaimSucceeded) else publish)(m)
    )

    with pytest.raises(TryAgainLater, match="could not be told"):
        dispatcher(broker, tmp_path).handle(InHand(message=ready()))

    assert (tmp_path / layout.staging_dir(42, "claim1")).is_dir()


def test_another_dispatcher_goes_on_when_the_first_one_dies(tmp_path: Path) -> None:
    second = MemoryBroker()
    first = MemoryBroker(second.server)
    portal = FakePortal(second)
    worker = FakeWorker(second, is_silent)
    submit(tmp_path)
    dispatcher(first, tmp_path, instance="node1").start(parallel=1)
    second.publish(ready())
    assert worker.asked.acquire(timeout=10)

    first.close()
    dispatcher(second, tmp_path, instance="node2").start(parallel=1)

    portal.wait_until(lambda: len(portal.claims) == 2)
    assert [claim.instance for claim in portal.claims] == ["node1", "node2"]
    assert portal.claims[0].delivery_id == portal.claims[1].delivery_id
    assert portal.claims[0].deliveries < portal.claims[1].deliveries
    assert work(tmp_path).exists()  # where the worker leaves what it is still at
    second.close()


def test_two_tickets_are_in_hand_at_a_time(broker: MemoryBroker, tmp_path: Path) -> None:
    FakePortal(broker)
    worker = FakeWorker(broker, is_silent)
    for ticket_id in (42, 43):
        submit(tmp_path, ticket_id)
    dispatcher(broker, tmp_path).start(parallel=2)

    for ticket_id in (42, 43):
        broker.publish(ready(ticket_id))

    assert worker.asked.acquire(timeout=10)
    assert worker.asked.acquire(timeout=10)


def test_the_service_is_announced_at_the_start(broker: MemoryBroker, tmp_path: Path) -> None:
    portal = FakePortal(broker)

    dispatcher(broker, tmp_path).start(parallel=1)

    portal.wait_until(lambda: portal.events)
    announced = portal.events[0]
    assert isinstance(announced, ServiceAnnounced)
    assert (announced.service, announced.provider) == ("lung-segmentation", "dss")
    assert "dispatch" not in announced.descriptor


def test_an_image_in_four_dimensions_is_refused_in_the_users_words(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    portal = FakePortal(broker)
    folder = submit(tmp_path)
    write_image(folder / MAIN.file_name, image((12, 10, 8, 3)))
    dispatcher(broker, tmp_path).start(parallel=1)

    broker.publish(ready())

    assert portal.failed().reason == "The image has 4 dimensions; this service needs 3."
