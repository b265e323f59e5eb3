"""A deletion of a ticket during its claim takes effect, although the dispatcher does not know the ticket yet."""

from dss_broker.messages import ClaimGranted, TicketWithdrawn
from dss_dispatch.withdrawals import Withdrawals
from support.deliveries import Heard

CLAIM = ClaimGranted(ticket_id=42, claim_id="mine", attempt=1, lease_s=60)


def withdrawal(ticket_id: int = 42, claim_id: str = "") -> Heard:
    message = TicketWithdrawn(ticket_id=ticket_id, service="s", claim_id=claim_id)
    return Heard(message=message)


def test_a_withdrawal_before_the_claim_was_answered_is_heard() -> None:
    withdrawals = Withdrawals()
    with withdrawals.watch() as watch:
        withdrawals.handle(withdrawal())

        assert watch.start(CLAIM).is_set()


def test_a_withdrawal_during_the_work_is_heard() -> None:
    withdrawals = Withdrawals()
    with withdrawals.watch() as watch:
        withdrawn = watch.start(CLAIM)
        assert not withdrawn.is_set()

        withdrawals.handle(withdrawal())

        assert withdrawn.is_set()


def test_the_withdrawal_of_another_ticket_or_claim_is_not_ours() -> None:
    withdrawals = Withdrawals()
    with withdrawals.watch() as watch:
        withdrawals.handle(withdrawal(7))
        withdrawals.handle(withdrawal(42, "older"))
        withdrawn = watch.start(CLAIM)
        withdrawals.handle(withdrawal(7))
        withdrawals.handle(withdrawal(42, "older"))

        assert not withdrawn.is_set()


def test_a_claim_that_is_taken_away_stops() -> None:
    withdrawals = Withdrawals()
    with withdrawals.watch() as watch:
        withdrawn = watch.start(CLAIM)

        withdrawals.handle(withdrawal(42, "mine"))

        assert withdrawn.is_set()
