"""Computes the stages of a ticket that its page shows.  Pure: no database, no clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from dss_portal.models import Status, TicketHistory


class StageState(StrEnum):
    """The state of a stage; the values are CSS classes."""

    DONE = "past"
    NOW = "now"
    AHEAD = "ahead"
    BROKEN = "broken"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of a ticket, which it may enter several times.  ``began_at`` is when it last entered the stage,
    ``seconds`` the total time in it until now; both are None if it never entered the stage.

    The last stage is the ticket's end: there ``began_at`` is the time of the end, and ``seconds`` is always None.
    """

    name: str
    step: StageState
    began_at: datetime | None = None
    seconds: float | None = None


NAMES = {Status.INIT: "Sent", Status.READY: "Waiting", Status.CLAIMED: "At work"}
ENDS = {
    Status.SUCCESS: "Done",
    Status.FAILED: "Failed",
    Status.TIMEOUT: "Given up",
    Status.DELETED: "Deleted",
}


def stages(history: Sequence[TicketHistory], status: Status, now: datetime) -> tuple[Stage, ...]:
    """The four stages sending, waiting, working and end of a ticket.  ``history`` is in order of time; ``status`` is
    the present state, and ``now`` ends the time in it.  The last stage is called as the ticket has ended (see ENDS);
    until then it is called "Done".
    """
    begun = [_stage(each, history, status, now) for each in NAMES]
    return (*begun, _end(history, status))


def _stage(each: Status, history: Sequence[TicketHistory], status: Status, now: datetime) -> Stage:
    ends = [entry.at for entry in history[1:]] + [now]
    spans = [(e.at, end) for e, end in zip(history, ends, strict=False) if e.status is each]
    if not spans:
        return Stage(name=NAMES[each], step=StageState.AHEAD)
    return Stage(
        name=NAMES[each],
        step=StageState.NOW
        if status is each
        else StageState.DONE
        if _is_before(each, status)
        else StageState.AHEAD,
        began_at=spans[-1][0],
        seconds=sum((end - began).total_seconds() for began, end in spans),
    )


def _is_before(each: Status, status: Status) -> bool:
    """True if a ticket in ``status`` has already passed the stage ``each``.  After a retry the ticket waits again, so
    the working stage counts as ahead.
    """
    order = list(NAMES)
    return status not in order or order.index(each) < order.index(status)


def _end(history: Sequence[TicketHistory], status: Status) -> Stage:
    if status not in ENDS:
        return Stage(name=ENDS[Status.SUCCESS], step=StageState.AHEAD)
    at = next((entry.at for entry in reversed(history) if entry.status is status), None)
    step = StageState.DONE if status is Status.SUCCESS else StageState.BROKEN
    return Stage(name=ENDS[status], step=step, began_at=at)
