"""A ticket that moves to another dispatcher: what a worker has computed for it, or still does, is not repeated."""

import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dss_broker.memory import MemoryBroker
from dss_broker.messages import (
    InferenceFailed,
    InferenceFinished,
    InferenceProgressed,
    RunInference,
    TicketWithdrawn,
)
from dss_inference.worker import interest
from dss_inference.worker.recorded_answers import TAKEN_OVER
from dss_inference.worker.request_handler import UNEXPECTED, WITHDRAWN
from dss_inference.worker.server import QueueServer
from support.copy_worker import REQUEST, TIMEOUT_S, CopyBundle, ended, replies
from support.waiting import wait_until

SUCCESSOR = replace(
    REQUEST, claim_id="c2", output_dir=REQUEST.output_dir.replace("c1", "c2"), silence_s=60.0
)
LOST = TicketWithdrawn(ticket_id=7, service="lungs", claim_id="c1")


@pytest.fixture
def datastore(datastore: Path) -> Path:
    """Requesters make the folders."""
    for request in (REQUEST, SUCCESSOR):
        (datastore / request.output_dir).mkdir(parents=True)
    return datastore


def finished(broker: MemoryBroker, request: RunInference) -> InferenceFinished:
    last = replies(broker, request)[-1]
    assert isinstance(last, InferenceFinished), last
    return last


@pytest.mark.usefixtures("server")
def test_what_was_finished_for_an_earlier_claim_is_handed_to_the_next(
    broker: MemoryBroker, bundle: CopyBundle, datastore: Path
) -> None:
    first = finished(broker, REQUEST)

    second = finished(broker, SUCCESSOR)
    shutil.rmtree(datastore / REQUEST.output_dir)

    assert bundle.runs == 1
    assert second.claim_id == "c2"
    assert second.notes == (TAKEN_OVER,)
    assert second.stage_seconds == first.stage_seconds
    assert second.segmentation_path == f"{SUCCESSOR.output_dir}/segmentation.nii.gz"
    assert (datastore / second.segmentation_path).read_bytes() == b"voxels"
    assert [report.path for report in second.reports] == [f"{SUCCESSOR.output_dir}/findings.csv"]
    assert (datastore / second.reports[0].path).read_text(encoding="utf-8") == "none\n"


@pytest.mark.usefixtures("server")
def test_a_third_claim_gets_it_from_the_second_and_says_so_once(
    broker: MemoryBroker, bundle: CopyBundle, datastore: Path
) -> None:
    finished(broker, REQUEST)
    finished(broker, SUCCESSOR)
    shutil.rmtree(datastore / REQUEST.output_dir)
    third = replace(
        SUCCESSOR, claim_id="c3", output_dir=REQUEST.output_dir.replace("c1", "c3"), silence_s=0.0
    )

    assert finished(broker, third).notes == (TAKEN_OVER,)
    assert bundle.runs == 1


def changed_image(datastore: Path) -> None:
    image = datastore / REQUEST.image_path
    facts = image.stat()
    image.write_bytes(b"lexovs")
    os.utime(image, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1_000_000))


def lost_report(datastore: Path) -> None:
    (datastore / REQUEST.output_dir / "findings.csv").unlink()


def torn_record(datastore: Path) -> None:
    (datastore / REQUEST.output_dir / "outcome.json").write_text("{", encoding="utf-8")


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("spoil", [changed_image, lost_report, torn_record])
def test_what_is_not_whole_or_of_another_image_is_computed(
    broker: MemoryBroker, bundle: CopyBundle, datastore: Path, spoil: Callable[[Path], None]
) -> None:
    finished(broker, REQUEST)
    spoil(datastore)

    again = finished(broker, SUCCESSOR)

    assert bundle.runs == 2
    image = (datastore / REQUEST.image_path).read_bytes()
    assert (datastore / again.segmentation_path).read_bytes() == image


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("other", [{"parameters": {"part": "left"}}, {"ticket_id": 8}])
def test_other_work_is_computed(
    broker: MemoryBroker, bundle: CopyBundle, other: dict[str, Any]
) -> None:
    finished(broker, REQUEST)

    finished(broker, replace(SUCCESSOR, **other))

    assert bundle.runs == 2


def test_what_still_runs_goes_on_for_who_takes_the_ticket_over(
    broker: MemoryBroker, bundle: CopyBundle, server: QueueServer
) -> None:
    bundle.go_on.clear()
    broker.request(REQUEST)
    assert bundle.started.wait(TIMEOUT_S)
    broker.publish(LOST)
    wait_until(lambda: server._withdrawals.lost_s(7, "c1") is not None)

    successor = broker.request(SUCCESSOR)
    heard = successor.next(TIMEOUT_S)
    bundle.go_on.set()

    assert heard == InferenceProgressed(ticket_id=7, claim_id="c2", fraction=0.25, stage="copying")
    last = ended(successor)
    assert isinstance(last, InferenceFinished)
    assert (last.claim_id, last.notes, bundle.runs) == ("c2", (TAKEN_OVER,), 1)


def test_what_nobody_takes_over_ends(
    broker: MemoryBroker, bundle: CopyBundle, server: QueueServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interest, "HANDOVER_S", 0.1)
    bundle.go_on.clear()
    conversation = broker.request(REQUEST)
    assert bundle.started.wait(TIMEOUT_S)
    broker.publish(LOST)

    wait_until(lambda: (server._withdrawals.lost_s(7, "c1") or 0) > 0.1)
    bundle.go_on.set()

    last = ended(conversation)
    assert isinstance(last, InferenceFailed)
    assert last.reason == WITHDRAWN


def test_a_deleted_ticket_ends_for_all_who_wait(
    broker: MemoryBroker, bundle: CopyBundle, server: QueueServer
) -> None:
    bundle.go_on.clear()
    conversations = [broker.request(request) for request in (REQUEST, SUCCESSOR)]
    assert bundle.started.wait(TIMEOUT_S)
    conversations[1].next(TIMEOUT_S)

    broker.publish(TicketWithdrawn(ticket_id=7, service="lungs"))
    wait_until(lambda: server._withdrawals.is_deleted(7))
    bundle.go_on.set()

    for conversation in conversations:
        last = ended(conversation)
        assert isinstance(last, InferenceFailed)
        assert last.reason == WITHDRAWN
    assert bundle.runs == 1


@pytest.mark.usefixtures("server")
def test_who_waits_computes_when_the_first_could_not(
    broker: MemoryBroker, bundle: CopyBundle
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def fail_once() -> None:
        if bundle.runs == 1:
            begun.set()
            assert go_on.wait(TIMEOUT_S)
            raise ValueError

    bundle.before = fail_once
    first = broker.request(REQUEST)
    assert begun.wait(TIMEOUT_S)
    second = broker.request(SUCCESSOR)
    second.next(TIMEOUT_S)
    go_on.set()

    failure = ended(first)
    assert isinstance(failure, InferenceFailed)
    assert failure.reason == UNEXPECTED
    last = ended(second)
    assert isinstance(last, InferenceFinished)
    assert (last.notes, bundle.runs) == ((), 2)


@pytest.mark.usefixtures("server")
def test_many_at_once_are_computed_once(
    broker: MemoryBroker, bundle: CopyBundle, datastore: Path
) -> None:
    requests = [
        replace(REQUEST, claim_id=f"c{n}", output_dir=REQUEST.output_dir.replace("c1", f"c{n}"))
        for n in range(1, 9)
    ]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda request: finished(broker, request), requests))

    assert bundle.runs == 1
    assert len({answer.segmentation_path for answer in answers}) == 8
    assert all((datastore / answer.segmentation_path).is_file() for answer in answers)
