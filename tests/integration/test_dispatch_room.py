"""A dispatcher whose folder for files on their way has no room for a while."""

from pathlib import Path

from dss_broker.memory import MemoryBroker
from dss_broker.messages import CheckResults, ResultsRefused
from dss_dispatch.endings import NO_ROOM
from dss_dispatch.result.check_requests import AWAY, serve_checks
from support.builders import submit
from support.datastores import WithoutRoom
from support.dispatchers import WAIT_S, FakePortal, FakeWorker, dispatcher, ready, writes


def test_a_ticket_for_whose_files_there_is_no_room_waits_and_is_done(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    portal = FakePortal(broker)
    FakeWorker(broker, writes(tmp_path))
    submit(tmp_path)
    datastore = WithoutRoom(tmp_path)
    dispatcher(broker, datastore).start(parallel=1)

    broker.publish(ready())

    assert portal.succeeded()
    assert NO_ROOM in portal.logged()[0]
    assert not broker.parked


def test_a_check_for_whose_files_there_is_no_room_is_to_be_asked_again(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    (tmp_path / "tickets").mkdir()
    serve_checks(broker, WithoutRoom(tmp_path))
    asked = CheckResults(
        ticket_id=42,
        claim_id="c1",
        names=("a.itksnap",),
        results_dir="tickets/00000042/results",
        input_dir="tickets/00000042/input",
        patience_s=600,
    )

    told = broker.request(asked).next(WAIT_S)

    assert isinstance(told, ResultsRefused)
    assert told.reason == AWAY
