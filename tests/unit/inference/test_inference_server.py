"""What a worker answers, and what it does when things go wrong."""

import errno
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dss_broker.memory import MemoryBroker
from dss_broker.messages import (
    InferenceFinished,
    InferenceProgressed,
)
from dss_datastore import access
from dss_inference.errors import InferenceError
from dss_inference.worker.request_handler import EXHAUSTED, TOO_LARGE, UNEXPECTED
from dss_inference.worker.server import NOT_SUBSCRIBED, QueueServer
from support.copy_worker import (
    LABEL,
    REQUEST,
    TIMEOUT_S,
    CopyBundle,
    ended,
    replies,
)
from support.datastores import WithoutRoom
from support.waiting import wait_until
from support.worker_failures import failure


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


def test_a_worker_is_not_ready_before_it_takes_requests(
    broker: MemoryBroker, bundle: CopyBundle, datastore: Path
) -> None:
    server = QueueServer(broker=broker, bundles=[bundle], datastore=datastore, instance="node1")
    assert server.problems() == [NOT_SUBSCRIBED]

    server.start()

    assert server.problems() == []
    assert server.stop(TIMEOUT_S)


@pytest.mark.usefixtures("server")
def test_progress_is_heard_while_the_work_goes_on(broker: MemoryBroker, bundle: CopyBundle) -> None:
    bundle.go_on.clear()

    conversation = broker.request(REQUEST)

    heard = conversation.next(TIMEOUT_S)
    while isinstance(heard, InferenceProgressed) and heard.stage != "copying":
        heard = conversation.next(TIMEOUT_S)
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

    replies(broker, replace(REQUEST, **other))  # type: ignore[arg-type]  # a field by its name

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
def test_an_answer_that_is_larger_than_a_message_fails_with_a_sentence(
    broker: MemoryBroker, bundle: CopyBundle
) -> None:
    bundle.labels = tuple(replace(LABEL, value=v, name=300 * "x") for v in range(1, 256))

    assert failure(broker, REQUEST) == TOO_LARGE


@pytest.mark.usefixtures("server")
def test_a_datastore_that_is_lost_fails_no_request(  # noqa: PLR0917  (what is lost, and how that is seen)
    broker: MemoryBroker,
    bundle: CopyBundle,
    datastore: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not mounted when the request comes, and lost while it is worked on."""
    monkeypatch.setattr(access, "POLL_S", 0.02)
    away = tmp_path / "away"

    def noticed(times: int) -> None:
        told = "datastore away, waiting for it"
        wait_until(lambda: [r.message for r in caplog.records].count(told) >= times, TIMEOUT_S)

    def come_back() -> None:
        noticed(2)
        away.rename(datastore)

    def lose() -> None:
        bundle.before = lambda: None
        datastore.rename(away)
        threading.Thread(target=come_back).start()
        raise FileNotFoundError("the image")

    bundle.before = lose
    datastore.rename(away)
    conversation = broker.request(REQUEST)
    noticed(1)
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


def test_a_request_for_whose_files_there_is_no_room_waits_and_is_answered(
    broker: MemoryBroker, bundle: CopyBundle, datastore: Path
) -> None:
    place = WithoutRoom(datastore)
    server = QueueServer(broker=broker, bundles=[bundle], datastore=place, instance="node1")
    server.start()

    assert isinstance(replies(broker, REQUEST)[-1], InferenceFinished)
    assert (place.asked, bundle.runs) == (2, 1)
    server.stop(TIMEOUT_S)


@pytest.mark.usefixtures("server")
def test_what_stays_exhausted_is_told_and_parked(broker: MemoryBroker, bundle: CopyBundle) -> None:
    bundle.before = raises(MemoryError())

    assert failure(broker, REQUEST) == EXHAUSTED
    broker.stop_consuming(TIMEOUT_S)
    assert len(broker.parked) == 1


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("outside", ["../elsewhere/ct.nii.gz", "/etc/hostname", "a/../../b", "."])
@pytest.mark.parametrize("field_name", ["image_path", "output_dir"])
def test_a_path_that_leaves_the_datastore_is_refused(
    broker: MemoryBroker, bundle: CopyBundle, field_name: str, outside: str
) -> None:
    request = replace(REQUEST, **{field_name: outside})  # type: ignore[arg-type]  # a field by its name

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
