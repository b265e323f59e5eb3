"""Requests to check results whose portal waits no more, by the clocks of two machines."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from dss_broker.messages import CheckResults, Message
from dss_datastore import layout
from dss_datastore.folder import FolderDatastore
from dss_dispatch.result.check_requests import CheckRequestHandler
from support.deliveries import Heard


@dataclass(frozen=True, kw_only=True)
class Asked(Heard):
    """A request with a reply queue, the list ``replies``."""

    replies: list[Message] = field(default_factory=list)

    def reply(self, message: Message) -> "Future[None]":
        self.replies.append(message)
        return Future()


def request() -> CheckResults:
    return CheckResults(
        ticket_id=1,
        claim_id="c",
        results_dir="tickets/00000001/results",
        input_dir="tickets/00000001/input",
        names=("a.itksnap",),
        patience_s=120,
    )


def test_a_difference_of_clocks_makes_no_request_late_and_waiting_does(tmp_path: Path) -> None:
    (tmp_path / layout.TICKETS).mkdir()
    handler = CheckRequestHandler(FolderDatastore(tmp_path))
    fresh, late, again = (Asked(message=request(), age_s=3600.0 + s) for s in (0, 121, 1))

    for asked in (fresh, late, again):
        handler.handle(asked)

    assert [len(asked.replies) for asked in (fresh, late, again)] == [1, 0, 1]
