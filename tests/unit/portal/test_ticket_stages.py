"""Where a ticket is on its way."""

from datetime import UTC, datetime, timedelta

import pytest

from dss_portal.models import Status, TicketHistory
from dss_portal.tickets.stages import StageState, stages

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
AHEAD, NOW, DONE, BROKEN = StageState.AHEAD, StageState.NOW, StageState.DONE, StageState.BROKEN


def _history(*order: Status) -> list[TicketHistory]:
    """A change every ten seconds."""
    return [
        TicketHistory(status=s, at=NOON + timedelta(seconds=10 * i)) for i, s in enumerate(order)
    ]


@pytest.mark.parametrize(
    ("order", "steps"),
    [
        (["init"], [NOW, AHEAD, AHEAD, AHEAD]),
        (["init", "ready"], [DONE, NOW, AHEAD, AHEAD]),
        (["init", "ready", "claimed"], [DONE, DONE, NOW, AHEAD]),
        (["init", "ready", "claimed", "ready"], [DONE, NOW, AHEAD, AHEAD]),
        (["init", "ready", "claimed", "success"], [DONE, DONE, DONE, DONE]),
        (["init", "ready", "claimed", "failed"], [DONE, DONE, DONE, BROKEN]),
        (["init", "ready", "timeout"], [DONE, DONE, AHEAD, BROKEN]),
    ],
)
def test_each_stage_is_behind_now_or_ahead(order: list[str], steps: list[StageState]) -> None:
    found = stages(_history(*map(Status, order)), Status(order[-1]), NOON)

    assert [stage.step for stage in found] == steps


def test_the_times_of_all_attempts_are_summed_up_to_now() -> None:
    history = _history(Status.INIT, Status.READY, Status.CLAIMED, Status.READY, Status.CLAIMED)

    _, waiting, working, _ = stages(history, Status.CLAIMED, NOON + timedelta(seconds=100))

    assert (waiting.seconds, working.seconds) == (20, 10 + 60)
    assert working.began_at == NOON + timedelta(seconds=40)
