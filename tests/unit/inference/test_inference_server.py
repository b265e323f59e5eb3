"""What a worker answers, and what it does when things go wrong."""

import errno
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dss_broker.broker import Conversation
from dss_broker.memory import MemoryBroker
from dss_broker.messages import (
    InferenceFailed,
    InferenceFinished,
    InferenceProgressed,
    Message,
    RunInference,
    TicketWithdrawn,
    WorkerAnnounced,
)
from dss_broker.topology import PORTAL_EVENTS
from dss_inference.errors import InferenceError
from dss_inference.worker.request_handler import EXHAUSTED, UNEXPECTED, WITHDRAWN
from dss_inference.worker.server import Server
from support.copy_worker import (
    LABEL,
    PATIENCE_S,
    REQUEST,
    CopyBundle,
    ended,
    replies,
)
from support.waiting import wait_until


def failure(broker: MemoryBroker, request: RunInference) -> str:
    last = replies(broker, request)[-1]
    assert isinstance(last, InferenceFailed)
    return last.reason


def raises(error: Exception) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


@pytest.mark.usefixtures("server")
def test_a_request_ends_with_where_the_segmentation_lies(
    broker: MemoryBroker, datastore: Path
) -> None:
    finished = replies(broker, REQUEST)[-1]

    assert isinstance(finished, InferenceFinished)
    assert (finished.ticket_id, finished.claim_id, finished.device) == (7, "c1", "cpu")
    assert finished.labels == (LABEL,)
    assert finished.segmentation_path == f"{REQUEST.output_dir}/segmentation.nii.gz"
    assert (datastore / finished.segmentation_path).read_bytes() == b"voxels"
    assert set(finished.stage_seconds) == {"copying", "finishing"}


@pytest.mark.usefixtures("server")
def test_progress_is_heard_while_the_work_goes_on(broker: MemoryBroker, bundle: CopyBundle) -> None:
    bundle.go_on.clear()

    conversation = broker.request(REQUEST)

    heard = conversation.next(PATIENCE_S)
    while isinstance(heard, InferenceProgressed) and heard.stage != "copying":
        heard = conversation.next(PATIENCE_S)
    assert heard == InferenceProgressed(ticket_id=7, claim_id="c1", fraction=0.25, stage="copying")


@pytest.mark.usefixtures("server")
def test_a_request_that_was_answered_is_not_computed_again(
    broker: MemoryBroker, bundle: CopyBundle
) -> None:
    first = replies(broker, REQUEST)[-1]

    second = replies(broker, REQUEST)[-1]

    assert second == first
    assert bundle.runs == 1


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("other", [{"claim_id": "c2"}, {"parameters": {"part": "left"}}])
def test_another_request_for_the_same_place_is_computed(
    broker: MemoryBroker, bundle: CopyBundle, other: dict[str, str]
) -> None:
    replies(broker, REQUEST)

    replies(broker, replace(REQUEST, **other))  # type: ignore[arg-type]

    assert bundle.runs == 2


@pytest.mark.usefixtures("server")
def test_an_answer_whose_segmentation_is_gone_is_computed_again(
    broker: MemoryBroker, bundle: CopyBundle, datastore: Path
) -> None:
    replies(broker, REQUEST)
    (datastore / REQUEST.output_dir / "segmentation.nii.gz").unlink()

    replies(broker, REQUEST)

    assert bundle.runs == 2


@pytest.mark.usefixtures("server")
def test_what_the_bundle_refuses_is_told_as_it_stands(
    broker: MemoryBroker, bundle: CopyBundle
) -> None:
    bundle.before = raises(InferenceError("The image has 4 dimensions; a CT volume has 3."))

    assert failure(broker, REQUEST) == "The image has 4 dimensions; a CT volume has 3."


@pytest.mark.usefixtures("server")
def test_a_datastore_that_is_lost_fails_no_request(
    broker: MemoryBroker, bundle: CopyBundle, datastore: Path, tmp_path: Path
) -> None:
    """Not mounted when the request comes, and lost while it is worked on."""
    away = tmp_path / "away"

    def lose() -> None:
        bundle.before = lambda: None
        datastore.rename(away)
        threading.Timer(1, away.rename, (datastore,)).start()
        raise FileNotFoundError("the image")

    bundle.before = lose
    datastore.rename(away)
    conversation = broker.request(REQUEST)
    time.sleep(1)
    assert bundle.runs == 0

    away.rename(datastore)

    assert isinstance(ended(conversation), InferenceFinished)
    assert bundle.runs == 2


@pytest.mark.usefixtures("server")
def test_an_unforeseen_error_is_told_without_its_details(
    broker: MemoryBroker, bundle: CopyBundle
) -> None:
    bundle.before = raises(ValueError("/secret/path"))

    assert failure(broker, REQUEST) == UNEXPECTED


@pytest.mark.usefixtures("server")
def test_the_next_request_works_after_an_unforeseen_error(
    broker: MemoryBroker, bundle: CopyBundle
) -> None:
    bundle.before = raises(ValueError("surprise"))
    replies(broker, REQUEST)
    bundle.before = lambda: None

    assert isinstance(replies(broker, REQUEST)[-1], InferenceFinished)


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ENOSPC, "full")])
def test_what_ran_out_for_a_while_is_tried_again(
    broker: MemoryBroker, bundle: CopyBundle, error: Exception
) -> None:
    bundle.before = lambda: raises(error)() if bundle.runs < 3 else None

    assert isinstance(replies(broker, REQUEST)[-1], InferenceFinished)
    assert bundle.runs == 3


@pytest.mark.usefixtures("server")
def test_what_stays_exhausted_is_told_and_parked(broker: MemoryBroker, bundle: CopyBundle) -> None:
    bundle.before = raises(MemoryError())

    assert failure(broker, REQUEST) == EXHAUSTED
    broker.stop_consuming(PATIENCE_S)
    assert len(broker.parked) == 1


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("outside", ["../elsewhere/ct.nii.gz", "/etc/hostname", "a/../../b", "."])
@pytest.mark.parametrize("field_name", ["image_path", "output_dir"])
def test_a_path_that_leaves_the_datastore_is_refused(
    broker: MemoryBroker, bundle: CopyBundle, field_name: str, outside: str
) -> None:
    request = replace(REQUEST, **{field_name: outside})  # type: ignore[arg-type]

    assert failure(broker, request) == "The request names a place outside the datastore."
    assert bundle.runs == 0


@pytest.mark.usefixtures("server")
def test_a_link_that_leaves_the_datastore_is_refused(
    broker: MemoryBroker, datastore: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (datastore / "door").symlink_to(tmp_path / "elsewhere")

    request = replace(REQUEST, output_dir="door/out")

    assert failure(broker, request) == "The request names a place outside the datastore."


@pytest.mark.usefixtures("server")
def test_an_image_that_is_not_there_is_missed_in_a_sentence(broker: MemoryBroker) -> None:
    request = replace(REQUEST, image_path="tickets/00000007/input/other.nii.gz")

    assert failure(broker, request) == "The image is not in the datastore."


@pytest.mark.usefixtures("server")
def test_a_withdrawn_ticket_stops_between_two_stages(
    broker: MemoryBroker, bundle: CopyBundle, server: Server
) -> None:
    bundle.go_on.clear()
    conversation = broker.request(REQUEST)
    assert bundle.started.wait(PATIENCE_S)

    broker.publish(TicketWithdrawn(ticket_id=7, service="lungs"))
    wait_until(lambda: server._withdrawals.is_deleted(7))
    bundle.go_on.set()

    heard: Message = conversation.next(PATIENCE_S)
    while isinstance(heard, InferenceProgressed):
        heard = conversation.next(PATIENCE_S)
    assert isinstance(heard, InferenceFailed)
    assert heard.reason == WITHDRAWN


def test_a_stopping_worker_finishes_what_is_in_hand(
    broker: MemoryBroker, bundle: CopyBundle, server: Server
) -> None:
    bundle.go_on.clear()
    conversation = broker.request(REQUEST)
    assert bundle.started.wait(PATIENCE_S)
    threading.Timer(0.2, bundle.go_on.set).start()

    assert server.stop(PATIENCE_S)

    heard: Message = conversation.next(PATIENCE_S)
    while isinstance(heard, InferenceProgressed):
        heard = conversation.next(PATIENCE_S)
    assert isinstance(heard, InferenceFinished)


def test_a_worker_that_cannot_finish_in_time_says_so(
    broker: MemoryBroker, bundle: CopyBundle, server: Server
) -> None:
    bundle.go_on.clear()
    broker.request(REQUEST)
    assert bundle.started.wait(PATIENCE_S)

    assert not server.stop(0.05)


def test_what_is_not_finished_in_time_goes_to_another_worker(
    broker: MemoryBroker, bundle: CopyBundle, server: Server, datastore: Path
) -> None:
    """It ends between two stages, and its requester hears of nothing but a longer wait."""
    bundle.go_on.clear()
    requester = MemoryBroker(broker.server)
    conversation = requester.request(REQUEST)
    assert bundle.started.wait(PATIENCE_S)
    threading.Timer(0.2, bundle.go_on.set).start()

    assert not server.stop(0.05)
    broker.close()

    other = MemoryBroker(broker.server)
    successor = Server(
        broker=other, bundles=[CopyBundle(go_on=bundle.go_on)], datastore=datastore, instance="two"
    )
    successor.start()
    heard: Message = conversation.next(PATIENCE_S)
    while isinstance(heard, InferenceProgressed):
        heard = conversation.next(PATIENCE_S)
    assert isinstance(heard, InferenceFinished)
    assert broker.parked == []
    successor.stop(PATIENCE_S)
    for opened in (other, requester):
        opened.close()


def test_a_worker_announces_its_bundle_and_device(
    broker: MemoryBroker, bundle: CopyBundle, datastore: Path
) -> None:
    heard: list[Message] = []
    broker.consume(PORTAL_EVENTS, lambda delivery: heard.append(delivery.message))

    server = Server(broker=broker, bundles=[bundle], datastore=datastore, instance="node1")
    server.start()

    wait_until(lambda: heard)
    assert heard == [WorkerAnnounced(bundle="copy", instance="node1", device="cpu")]
    server.stop(PATIENCE_S)


def test_a_request_whose_claim_was_taken_away_before_is_not_begun(
    broker: MemoryBroker, bundle: CopyBundle, server: Server
) -> None:
    broker.publish(TicketWithdrawn(ticket_id=7, service="lungs", claim_id="c1"))
    wait_until(lambda: server._withdrawals.lost_s(7, "c1") is not None)

    assert failure(broker, REQUEST) == WITHDRAWN
    assert bundle.runs == 0
    assert isinstance(replies(broker, replace(REQUEST, claim_id="c2"))[-1], InferenceFinished)


def test_a_request_that_nobody_waits_for_any_more_is_not_begun(
    broker: MemoryBroker, bundle: CopyBundle, datastore: Path
) -> None:
    """No worker was there while its requester waited."""
    earlier = MemoryBroker(broker.server)
    Server(broker=earlier, bundles=[bundle], datastore=datastore, instance="node0").start()
    earlier.close()
    late = broker.request(replace(REQUEST, silence_s=0.1))
    young = broker.request(replace(REQUEST, claim_id="c2", silence_s=60.0, output_dir="young"))
    (datastore / "kept").mkdir()
    kept = broker.request(replace(REQUEST, claim_id="c3", silence_s=0.1, output_dir="kept"))
    time.sleep(0.2)

    made = Server(broker=broker, bundles=[bundle], datastore=datastore, instance="node1")
    made.start()

    assert isinstance(ended(late), InferenceFailed)
    assert isinstance(ended(young), InferenceFinished)
    assert isinstance(ended(kept), InferenceFinished)  # its requester still has its folder
    assert bundle.runs == 2


def test_a_request_that_comes_again_after_it_was_answered_is_not_begun(
    broker: MemoryBroker, bundle: CopyBundle, datastore: Path
) -> None:
    """The first worker answered, and lost its connection before it could acknowledge."""
    request = replace(REQUEST, silence_s=60.0)
    (datastore / request.output_dir).mkdir(parents=True)
    bundle.go_on.clear()
    requester, first = MemoryBroker(broker.server), MemoryBroker(broker.server)
    Server(broker=first, bundles=[bundle], datastore=datastore, instance="node1").start()
    conversation = requester.request(request)
    assert bundle.started.wait(PATIENCE_S)
    shutil.rmtree(datastore / request.output_dir)
    first.close()

    Server(broker=broker, bundles=[bundle], datastore=datastore, instance="node2").start()

    assert failed(conversation).reason == WITHDRAWN
    assert bundle.runs == 1
    bundle.go_on.set()
    requester.close()


def test_a_request_whose_folder_goes_away_meanwhile_is_given_up(
    broker: MemoryBroker, bundle: CopyBundle, server: Server, datastore: Path
) -> None:
    """What cannot be written then is no sign of a full disk, for which it would be tried again."""
    request = replace(REQUEST, silence_s=60.0)
    (datastore / request.output_dir).mkdir(parents=True)
    bundle.go_on.clear()
    conversation = broker.request(request)
    assert bundle.started.wait(PATIENCE_S)

    shutil.rmtree(datastore / request.output_dir)
    bundle.go_on.set()

    assert failed(conversation).reason == WITHDRAWN
    assert broker.parked == []


def failed(conversation: Conversation) -> InferenceFailed:
    heard = ended(conversation)
    assert isinstance(heard, InferenceFailed)
    return heard
