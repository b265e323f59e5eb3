# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""How a ticket ends in a dispatcher without a result: failures, withdrawals, silence."""

import threading
import time
from pathlib import Path

import pytest

from dss_broker.broker import Delivery
from dss_broker.memory import MemoryBroker
from dss_broker.messages import (
    ClaimFailed,
    ClaimHeartbeat,
    ClaimLogged,
    ClaimRefused,
    ClaimSucceeded,
    RunInference,
    TicketWithdrawn,
    WorkerAnnounced,
)
from dss_dispatch.inference import queue_inference
from dss_observability import tracing
from support.builders import (
    MAIN,
    segmentation,
    submit,
)
from support.dispatched import work
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

    with tracing.in_span_of(of_message):
        broker.publish(ready())

    portal.succeeded()
    assert portal.traces == {of_ticket}


def test_a_withdrawn_ticket_ends_without_a_word(broker: MemoryBroker, tmp_path: Path) -> None:
    portal = FakePortal(broker)
    worker = FakeWorker(broker, is_silent)
    submit(tmp_path)
    dispatcher(broker, tmp_path).start(parallel=1)
    broker.publish(ready())
    assert worker.asked.acquire(timeout=WAIT_S)

    broker.publish(TicketWithdrawn(ticket_id=42, service="lung-segmentation"))

    submit(tmp_path, 43)
    broker.publish(ready(43))  # the only thread is free again
    assert worker.asked.acquire(timeout=WAIT_S)
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
    assert worker.asked.acquire(timeout=WAIT_S)

    taken = TicketWithdrawn(ticket_id=42, service="lung-segmentation", claim_id="claim1")
    broker.publish(taken)

    submit(tmp_path, 43)
    broker.publish(ready(43))  # the only thread is free again
    assert worker.asked.acquire(timeout=WAIT_S)
    assert portal.of(ClaimFailed) + portal.of(ClaimSucceeded) == []
    assert work(tmp_path).exists()  # the next one goes on with what is found there


def test_the_withdrawal_of_another_ticket_changes_nothing(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    portal = FakePortal(broker)
    go_on = threading.Event()
    answer = writes(tmp_path)

    def waits(delivery: Delivery, request: RunInference) -> None:
        assert go_on.wait(WAIT_S)
        answer(delivery, request)

    worker = FakeWorker(broker, waits)
    submit(tmp_path)
    dispatcher(broker, tmp_path).start(parallel=1)
    broker.publish(ready())
    assert worker.asked.acquire(timeout=WAIT_S)

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
