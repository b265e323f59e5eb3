"""What happens to a ticket while a checker looks at its results."""

import asyncio
from collections.abc import Callable

import pytest
from tortoise.connection import get_connection

from dss_broker.broker import Delivery
from dss_broker.messages import CheckResults, ResultsAccepted, ResultsRefused
from dss_broker.topology import RESULT_CHECKS
from dss_portal.models import Claim, Status, TicketHistory
from support import verdicts
from support.builders import result_files
from support.portals import LONG_AGO, Portal, eventually, post, send_file, text
from support.verdicts import SENTENCE, Work

pytestmark = pytest.mark.stack

work = verdicts.work
patient = verdicts.patient


class SlowChecker:
    """Answers when the test says so; ``asked`` has the questions."""

    def __init__(self, portal: Portal) -> None:
        self.asked: list[CheckResults] = []
        self._deliveries: list[Delivery] = []
        portal.broker.consume(RESULT_CHECKS, self._handle)

    def _handle(self, delivery: Delivery) -> None:
        assert isinstance(delivery.message, CheckResults)
        self.asked.append(delivery.message)
        self._deliveries.append(delivery)

    async def is_asked(self, times: int = 1) -> None:
        async def count() -> int:
            return len(self.asked)

        await eventually(count, lambda n: n >= times)

    def accept(self) -> None:
        for delivery, asked in zip(self._deliveries, self.asked, strict=True):
            delivery.reply(ResultsAccepted(ticket_id=asked.ticket_id, claim_id=asked.claim_id))

    def refuse(self, reason: str) -> None:
        for delivery, asked in zip(self._deliveries, self.asked, strict=True):
            about = (asked.ticket_id, asked.claim_id)
            delivery.reply(ResultsRefused(ticket_id=about[0], claim_id=about[1], reason=reason))


@pytest.fixture
def slow(portal: Portal) -> SlowChecker:
    return SlowChecker(portal)


@pytest.mark.usefixtures("patient")
async def test_a_checker_that_never_answers_is_waited_for_no_longer_than_set(
    work: Work, slow: SlowChecker
) -> None:
    await work.give(result_files())

    status, sentence = await work.succeed()

    assert (status, "within 0.3 seconds" in sentence) == (400, True)
    assert len(slow.asked) == 1
    assert await work.status() == "claimed"


@pytest.mark.usefixtures("patient")
async def test_the_checker_is_told_of_attachments_since_they_are_a_result_too(
    work: Work, slow: SlowChecker
) -> None:
    await work.give(result_files())
    await work.succeed()
    await send_file(work.provider, f"{work.base}/attachments", "volumes.csv", b"a", desc="Volumes")
    await work.succeed()

    assert [asked.has_attachments for asked in slow.asked] == [False, True]


async def test_before_the_verdict_nobody_sees_a_success_and_no_connection_is_held(
    work: Work, slow: SlowChecker
) -> None:
    await work.give(result_files())
    answers = [asyncio.create_task(work.succeed()) for _ in range(12)]  # the pool has 10
    await slow.is_asked(12)

    assert await work.status() == "claimed"
    rows = await get_connection("default").execute_query_dict(
        "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() "
        "AND state LIKE 'idle in transaction%'"
    )
    assert rows[0]["n"] == 0
    slow.accept()
    assert await asyncio.gather(*answers) == [(200, "success")] * 12
    assert await TicketHistory.filter(ticket_id=work.ticket, status=Status.SUCCESS).count() == 1


async def test_a_claim_is_kept_alive_while_its_results_are_checked(
    work: Work, slow: SlowChecker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dss_portal.tickets.result_checks.RENEW_S", 0.05)
    await work.give(result_files())
    answer = asyncio.create_task(work.succeed())
    await slow.is_asked()
    await Claim.filter(ticket_id=work.ticket).update(expires_at=LONG_AGO)

    async def expires() -> bool:
        return (await Claim.get(ticket_id=work.ticket)).expires_at > LONG_AGO

    assert await eventually(expires, bool)
    slow.refuse("It was no good.")
    assert await answer == (400, SENTENCE.format("It was no good."))


async def test_files_sent_while_they_are_checked_void_the_verdict(
    work: Work, slow: SlowChecker
) -> None:
    """The very same bytes, too: they were not those that were judged."""
    await work.give(result_files())
    answer = asyncio.create_task(work.succeed())
    await slow.is_asked()
    await work.give(result_files())

    slow.accept()

    assert await answer == (
        400,
        "The results were changed while they were checked; set the status again.",
    )
    assert await work.status() == "claimed"


async def test_a_file_added_while_they_are_checked_voids_the_verdict(
    work: Work, slow: SlowChecker
) -> None:
    await work.give(result_files())
    answer = asyncio.create_task(work.succeed())
    await slow.is_asked()
    await work.give({"second.itksnap": b"<registry/>"})

    slow.accept()

    assert (await answer)[0] == 400
    assert await work.status() == "claimed"


async def lapse(work: Work) -> None:
    await Claim.filter(ticket_id=work.ticket).update(expires_at=LONG_AGO)
    await work.portal.sweep()
    await eventually(work.status, lambda now: now == "ready")


async def lapse_and_claim(work: Work) -> None:
    await lapse(work)
    path = f"/api/pro/services/{work.githash}/claims"
    assert (await post(work.provider, path, provider="dss"))[1] == str(work.ticket)
    await work.give(result_files())


async def delete(work: Work) -> None:
    await text(await work.portal.user(), f"/api/tickets/{work.ticket}/delete")


@pytest.mark.parametrize(
    ("change", "status", "sentence"),
    [
        (lapse, "ready", "has not been claimed by user"),
        (lapse_and_claim, "claimed", "The claim has ended while its results were checked."),
        (delete, "deleted", "has been deleted"),
    ],
)
async def test_a_verdict_for_a_claim_that_is_over_changes_nothing(
    work: Work, slow: SlowChecker, change: Callable[[Work], object], status: str, sentence: str
) -> None:
    await work.give(result_files())
    answer = asyncio.create_task(work.succeed())
    await slow.is_asked()
    done = change(work)
    assert asyncio.iscoroutine(done)
    await done

    slow.accept()

    told = await answer
    assert (told[0], sentence in told[1]) == (400, True)
    assert await work.status() == status


async def test_a_provider_whose_request_broke_off_asks_again(work: Work, slow: SlowChecker) -> None:
    """Its portal has died, for instance: the new one knows nothing of the question."""
    await work.give(result_files())
    broken_off = asyncio.create_task(work.succeed())
    await slow.is_asked()
    broken_off.cancel()

    again = asyncio.create_task(work.succeed())
    await slow.is_asked(2)
    slow.accept()

    assert await again == (200, "success")


async def test_a_failure_set_meanwhile_stays(work: Work, slow: SlowChecker) -> None:
    await work.give(result_files())
    answer = asyncio.create_task(work.succeed())
    await slow.is_asked()
    assert await post(work.provider, f"{work.base}/status", status="failed") == (200, "failed")

    slow.accept()

    assert (await answer)[0] == 400
    assert await work.status() == "failed"
