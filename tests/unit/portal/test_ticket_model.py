"""The whole state machine, with everything that can happen to it; and what is noticed if a rule is missing."""

from dataclasses import replace

import pytest

from dss_portal.models import Status
from dss_portal.tickets import lifecycle
from dss_portal.tickets.lifecycle import Event, TicketState
from support.ticket_model import Apply, Rules, Step, World
from support.ticket_promises import broken_promises

ONE_TICKET, TWO_TICKETS = 1, 2
SMALL = Rules(restarts=0, max_attempts=1, begins=TicketState(status=Status.READY))
"""Two tickets with all their attempts and restarts are some hundred thousand worlds more."""


@pytest.mark.parametrize(
    ("tickets", "rules", "at_least"),
    [(ONE_TICKET, Rules(), 5_000), (TWO_TICKETS, SMALL, 5_000)],
)
@pytest.mark.slow
def test_whatever_happens_every_promise_is_kept(tickets: int, rules: Rules, at_least: int) -> None:
    found: dict[World, list[Step]] = {}

    assert set(broken_promises(tickets, rules, found)) == set()

    assert len(found) > at_least
    reached = {ticket.state.status for world in found for ticket in world.tickets}
    assert reached >= set(Status) - {Status.INIT}


def without_fencing(ticket: TicketState, event: Event) -> TicketState:
    """The model accepts every program that has ever had a claim."""
    if ticket.status is Status.CLAIMED and isinstance(event, lifecycle.Succeeded):
        return replace(ticket, status=Status.SUCCESS)
    return lifecycle.apply(ticket, event)


def without_end(ticket: TicketState, event: Event) -> TicketState:
    """A late success turns a failure round."""
    if isinstance(event, lifecycle.Succeeded) and event.claim_id == ticket.claim_id:
        return replace(ticket, status=Status.SUCCESS)
    return lifecycle.apply(ticket, event)


def with_retried_success(ticket: TicketState, event: Event) -> TicketState:
    if isinstance(event, lifecycle.Retried) and ticket.status is Status.SUCCESS:
        return TicketState(status=Status.READY)
    return lifecycle.apply(ticket, event)


def without_counting(ticket: TicketState, event: Event) -> TicketState:
    """A lost attempt is none."""
    after = lifecycle.apply(ticket, event)
    return after if after is ticket else replace(after, attempt=1)


def without_stage(ticket: TicketState, event: Event) -> TicketState:
    """The reaper does not look again before it gives a ticket up."""
    if isinstance(event, lifecycle.StageOverdue):
        return replace(ticket, status=Status.TIMEOUT)
    return lifecycle.apply(ticket, event)


def deleting_again(ticket: TicketState, event: Event) -> TicketState:
    """A deletion that is asked for twice is recorded twice."""
    if isinstance(event, lifecycle.Deleted):
        return replace(ticket, status=Status.DELETED)
    return lifecycle.apply(ticket, event)


def without_lapse(ticket: TicketState, event: Event) -> TicketState:
    """Nobody notices that a dispatcher is dead."""
    if isinstance(event, lifecycle.LeaseLapsed | lifecycle.RunOverdue):
        return ticket
    return lifecycle.apply(ticket, event)


@pytest.mark.parametrize(
    ("broken", "noticed"),
    [
        (without_fencing, "an old claim is heard"),
        (without_end, "what has ended changes"),
        (with_retried_success, "two results"),
        (without_counting, "more attempts than allowed"),
        (without_stage, "a stage is overdue that is over"),
        (deleting_again, "what is deleted changes"),
    ],
)
def test_a_state_machine_that_lacks_a_rule_breaks_a_promise(broken: Apply, noticed: str) -> None:
    rules = Rules(apply=broken, restarts=1 if broken is with_retried_success else 0)

    assert noticed in broken_promises(ONE_TICKET, rules)


@pytest.mark.parametrize(
    ("tickets", "rules", "noticed"),
    [
        (
            ONE_TICKET,
            Rules(restarts=0, announces_again=False),
            "a ticket waits and no message tells of it",
        ),
        (
            TWO_TICKETS,
            replace(SMALL, uses_messages_once=False),
            "a message leads to two tickets",
        ),
        (
            TWO_TICKETS,
            replace(SMALL, follows_deliveries=False, uses_messages_once=False),
            "a message leads to two tickets",
        ),
    ],
)
def test_a_portal_that_lacks_a_rule_breaks_a_promise(
    tickets: int, rules: Rules, noticed: str
) -> None:
    assert noticed in broken_promises(tickets, rules)


def test_a_way_to_an_end_that_is_missing_is_noticed() -> None:
    """Without leases, a ticket whose message is lost while it is claimed is claimed for ever."""
    rules = Rules(restarts=0, apply=without_lapse)

    assert "there is no way to an end" in broken_promises(ONE_TICKET, rules)
