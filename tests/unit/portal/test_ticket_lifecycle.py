import pytest
from hypothesis import given
from hypothesis import strategies as st

from dss_portal.models import Status
from dss_portal.tickets.lifecycle import (
    FINISHED,
    Abandoned,
    Claimed,
    Deleted,
    Event,
    Failed,
    IllegalAction,
    LeaseLapsed,
    Requeued,
    RunOverdue,
    StageOverdue,
    Submitted,
    Succeeded,
    TicketState,
    apply,
)

CLAIMED = TicketState(status=Status.CLAIMED, claim_id="new")
CLAIM_IDS = st.sampled_from(["a", "b", "c"])
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(Submitted),
    st.builds(Claimed, claim_id=CLAIM_IDS),
    st.builds(Succeeded, claim_id=CLAIM_IDS),
    st.builds(Failed, claim_id=CLAIM_IDS),
    st.builds(LeaseLapsed, claim_id=CLAIM_IDS, max_attempts=st.just(3)),
    st.builds(Abandoned, claim_id=CLAIM_IDS),
    st.builds(Deleted),
)


def test_a_submitted_ticket_waits_for_its_service() -> None:
    after = apply(TicketState(status=Status.INIT), Submitted())

    assert after.status is Status.READY


def test_a_ticket_cannot_be_submitted_twice() -> None:
    with pytest.raises(IllegalAction, match="state ready"):
        apply(TicketState(status=Status.READY), Submitted())


def test_a_newer_claim_takes_over_and_the_old_one_is_ignored() -> None:
    taken_over = apply(TicketState(status=Status.CLAIMED, claim_id="old"), Claimed(claim_id="new"))

    assert apply(taken_over, Succeeded(claim_id="old")) is taken_over
    assert apply(taken_over, Succeeded(claim_id="new")).status is Status.SUCCESS


def test_a_lapsed_lease_puts_the_ticket_back_with_the_next_attempt() -> None:
    after = apply(CLAIMED, LeaseLapsed(claim_id="new", max_attempts=3))

    assert (after.status, after.attempt) == (Status.READY, 2)


def test_an_overdue_attempt_counts_like_a_lapsed_one() -> None:
    after = apply(CLAIMED, RunOverdue(claim_id="new", max_attempts=3))

    assert (after.status, after.attempt) == (Status.READY, 2)
    assert apply(CLAIMED, RunOverdue(claim_id="old", max_attempts=3)) is CLAIMED


@pytest.mark.parametrize("stage", [Status.INIT, Status.READY])
def test_an_overdue_stage_times_out_the_tickets_that_are_still_in_it(stage: Status) -> None:
    assert apply(TicketState(status=stage), StageOverdue(stage=stage)).status is Status.TIMEOUT
    assert apply(CLAIMED, StageOverdue(stage=stage)) is CLAIMED


def test_the_last_lapsed_lease_times_the_ticket_out() -> None:
    last = TicketState(status=Status.CLAIMED, claim_id="new", attempt=3)

    assert apply(last, LeaseLapsed(claim_id="new", max_attempts=3)).status is Status.TIMEOUT


@pytest.mark.parametrize("status", [Status.INIT, Status.READY, Status.CLAIMED, Status.TIMEOUT])
def test_a_sysadmin_lets_a_ticket_wait_again(status: Status) -> None:
    stuck = TicketState(status=status, attempt=3, claim_id="old")

    assert apply(stuck, Requeued()) == TicketState(status=Status.READY)


def test_not_even_a_sysadmin_changes_a_success() -> None:
    with pytest.raises(IllegalAction, match="any more"):
        apply(TicketState(status=Status.SUCCESS), Requeued())


def test_a_parked_message_of_an_old_claim_does_not_fail_the_ticket() -> None:
    assert apply(CLAIMED, Abandoned(claim_id="old")) is CLAIMED


def test_a_parked_message_of_the_current_claim_fails_the_ticket() -> None:
    assert apply(CLAIMED, Abandoned(claim_id="new")).status is Status.FAILED


@given(st.lists(EVENTS, max_size=30))
def test_a_finished_ticket_changes_only_by_being_deleted(events: list[Event]) -> None:
    ticket = TicketState(status=Status.INIT)
    for event in events:
        try:
            after = apply(ticket, event)
        except IllegalAction:
            continue
        if ticket.status in FINISHED:
            assert after is ticket or after.status is Status.DELETED
        if ticket.status is Status.DELETED:
            assert after is ticket
        ticket = after


@given(st.lists(EVENTS, max_size=30))
def test_only_the_current_claim_ends_a_ticket(events: list[Event]) -> None:
    ticket = TicketState(status=Status.INIT)
    for event in events:
        try:
            after = apply(ticket, event)
        except IllegalAction:
            continue
        if isinstance(event, Succeeded) and after is not ticket:
            assert (ticket.status, ticket.claim_id) == (Status.CLAIMED, event.claim_id)
        ticket = after
