# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""A dispatcher without its datastore, its portal or its broker, and several at work."""

import threading
import time
from pathlib import Path

import pytest

from dss_broker import topology
from dss_broker.broker import Delivery
from dss_broker.errors import TryAgainLater
from dss_broker.memory import MemoryBroker
from dss_broker.messages import (
    ClaimFailed,
    ClaimHeartbeat,
    ClaimSucceeded,
    RunInference,
    ServiceAnnounced,
)
from dss_datastore import access, layout
from dss_dispatch import claim_request
from support.builders import (
    MAIN,
    image,
    submit,
    write_image,
)
from support.dispatched import InHand, work
from support.dispatchers import (
    WAIT_S,
    FakePortal,
    FakeWorker,
    dispatcher,
    finished,
    is_silent,
    ready,
    writes,
)
from support.waiting import wait_until

AWAY = "datastore away, waiting for it"


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "POLL_S", 0.02)


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


@pytest.mark.usefixtures("quick_looks")
def test_a_dispatcher_takes_no_ticket_before_its_datastore_is_mounted(
    broker: MemoryBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All tickets would seem to lack their files, and fail."""
    portal = FakePortal(broker)
    datastore, volume = tmp_path / "mount point", tmp_path / "volume"
    datastore.mkdir()
    submit(volume)
    FakeWorker(broker, writes(datastore))
    dispatcher(broker, datastore).start(parallel=1)
    broker.publish(ready())
    wait_until(lambda: AWAY in caplog.messages)
    assert portal.claims == []

    datastore.rmdir()
    volume.rename(datastore)

    portal.succeeded()


@pytest.mark.usefixtures("quick_looks")
def test_a_datastore_that_is_lost_at_work_fails_no_ticket(
    broker: MemoryBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
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
    wait_until(lambda: AWAY in caplog.messages)

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
    with broker.dead_letters() as session:
        assert session.letters == []


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
    assert worker.asked.acquire(timeout=WAIT_S)

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

    assert worker.asked.acquire(timeout=WAIT_S)
    assert worker.asked.acquire(timeout=WAIT_S)


def _announced(portal: FakePortal) -> list[ServiceAnnounced]:
    return [event for event in portal.events if isinstance(event, ServiceAnnounced)]


def test_the_service_is_announced_at_the_start(broker: MemoryBroker, tmp_path: Path) -> None:
    portal = FakePortal(broker)

    dispatcher(broker, tmp_path).start(parallel=1)

    portal.wait_until(lambda: _announced(portal))
    announced = _announced(portal)[0]
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
