"""A provider over HTTP says success: the ticket is one only after a checker's verdict on these very files."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from quart.typing import TestClientProtocol as Client
from tortoise.connection import get_connection

from dss_broker.broker import Delivery
from dss_broker.memory import MemoryBroker
from dss_broker.messages import CheckResults, ResultsAccepted, ResultsRefused
from dss_broker.topology import RESULT_CHECKS
from dss_dispatch.result.check_requests import serve_checks
from dss_portal.admin import store as admin
from dss_portal.models import Claim, Status, Ticket, TicketHistory
from dss_portal.settings import Settings
from support.builders import result_files, segmentation
from support.portals import LONG_AGO, Portal, eventually, post, send_file, submitted_ticket, text

pytestmark = pytest.mark.stack

SENTENCE = (
    "The results cannot be accepted. {} Mend them, send them again, and set the status again."
)


@dataclass(frozen=True, kw_only=True)
class Work:
    """A ticket of Ann's in the hands of a provider."""

    portal: Portal
    provider: Client
    ticket: int
    githash: str

    @property
    def base(self) -> str:
        return f"/api/pro/tickets/{self.ticket}"

    async def give(self, files: dict[str, bytes]) -> None:
        for name, data in files.items():
            answer = await send_file(self.provider, f"{self.base}/files/results", name, data)
            assert answer == (200, "success")

    async def succeed(self) -> tuple[int, str]:
        return await post(self.provider, f"{self.base}/status", status="success")

    async def status(self) -> str:
        return await text(await self.portal.user(), f"/api/tickets/{self.ticket}/status")


@pytest.fixture
async def work(portal: Portal) -> Work:
    await portal.announce_service()
    ann, provider = await portal.user(), await portal.user("pro@example.com")
    await admin.add_provider_user("dss", "pro@example.com", admin=False)
    listed = json.loads(await text(ann, "/api/services?format=json"))["result"]
    githash = str(listed[0]["githash"])
    ticket = await submitted_ticket(ann)
    claimed = await post(provider, f"/api/pro/services/{githash}/claims", provider="dss", code="g")
    assert claimed == (200, str(ticket))
    return Work(portal=portal, provider=provider, ticket=ticket, githash=githash)


@pytest.fixture
def checked(portal: Portal) -> None:
    """A dispatcher's checker is at work."""
    serve_checks(portal.broker, portal.datastore)


@pytest.fixture
def patient(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a verdict longer than a moment."""
    monkeypatch.setitem(settings.__dict__, "check_results_s", 0.3)


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


@pytest.mark.usefixtures("checked")
async def test_a_sound_result_is_a_success_and_said_again_the_answer_is_the_same(
    work: Work,
) -> None:
    await work.give(result_files())

    assert await work.succeed() == (200, "success")
    assert await work.succeed() == (200, "success")

    assert await work.status() == "success"
    assert await TicketHistory.filter(ticket_id=work.ticket, status=Status.SUCCESS).count() == 1


@pytest.mark.usefixtures("checked")
async def test_the_picture_of_a_sound_result_is_attached_to_the_log_and_lies_in_no_area(
    work: Work,
) -> None:
    await work.give(result_files())
    for _ in range(2):
        assert await work.succeed() == (200, "success")

    ann = await work.portal.user()
    detail = json.loads(await text(ann, f"/api/tickets/{work.ticket}/detail?since=0"))["result"]
    (picture,) = [file for line in detail["log"] for file in line["attachments"]]
    shown = await ann.get(picture["url"].removeprefix(work.portal.settings.public_url))
    assert (picture["mime_type"], shown.headers["Content-Type"]) == ("image/png", "image/png")
    assert (await shown.get_data())[:8] == b"\x89PNG\r\n\x1a\n"
    assert "picture" not in await text(ann, f"/api/tickets/{work.ticket}/files/results")


@pytest.mark.usefixtures("checked")
async def test_a_success_without_a_file_is_refused_and_the_ticket_stays_claimed(work: Work) -> None:
    status, sentence = await work.succeed()

    assert (status, sentence[:29]) == (400, "The ticket has no results. Se")
    assert await work.status() == "claimed"


@pytest.mark.usefixtures("checked")
async def test_a_segmentation_of_another_size_is_refused_and_may_be_mended(work: Work) -> None:
    await work.give(result_files(segmented=segmentation(size=(12, 10, 9))))

    answer = await work.succeed()

    found = "The segmentation 'lungs.nii.gz' does not lie on its image: size (12, 10, 9) instead of (12, 10, 8)."
    assert answer == (400, SENTENCE.format(found))
    assert await work.status() == "claimed"
    await work.give(result_files())
    assert await work.succeed() == (200, "success")


@pytest.mark.usefixtures("checked")
async def test_a_refused_result_may_be_given_up(work: Work) -> None:
    await work.give({"lungs.nii.gz": b"voxels"})
    assert (await work.succeed())[0] == 400

    for _ in range(2):
        assert await post(work.provider, f"{work.base}/status", status="failed") == (200, "failed")

    assert await work.status() == "failed"
    assert (await work.succeed())[0] == 400


@pytest.mark.usefixtures("checked")
async def test_what_is_left_of_a_mended_result_does_no_harm(work: Work) -> None:
    """The Python client names each file by its content, and nobody can remove one."""
    await work.give({"layer_001_old.nii.gz": b"broken"})
    await work.give(result_files())

    assert await work.succeed() == (200, "success")


@pytest.mark.usefixtures("patient")
async def test_without_a_checker_the_ticket_stays_claimed_and_can_be_finished_later(
    work: Work,
) -> None:
    await work.give(result_files())
    await Claim.filter(ticket_id=work.ticket).update(expires_at=LONG_AGO)

    status, sentence = await work.succeed()

    assert (status, sentence[:35]) == (400, "The results could not be checked, s")
    assert await work.portal.sweep() == 0, "the lease was not renewed"
    assert await work.status() == "claimed"
    serve_checks(work.portal.broker, work.portal.datastore)
    assert await work.succeed() == (200, "success")


@pytest.mark.usefixtures("patient")
async def test_a_checker_that_never_answers_is_waited_for_no_longer_than_set(
    work: Work, slow: SlowChecker
) -> None:
    await work.give(result_files())

    status, sentence = await work.succeed()

    assert (status, "within 0.3 seconds" in sentence) == (400, True)
    assert len(slow.asked) == 1
    assert await work.status() == "claimed"


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


@pytest.mark.usefixtures("checked")
async def test_a_question_that_nobody_waits_for_any_more_is_not_looked_into(work: Work) -> None:
    """It may have waited in the queue for hours, and would be read for nothing."""
    old = CheckResults(
        ticket_id=work.ticket,
        claim_id="c",
        results_dir="nowhere",
        input_dir="nowhere",
        names=("a",),
        patience_s=-1,
    )
    conversation = work.portal.broker.request(old)
    await work.give(result_files())

    assert await work.succeed() == (200, "success")

    with pytest.raises(Exception, match="No reply"):
        conversation.next(0.1)
    assert isinstance(work.portal.broker, MemoryBroker)
    assert work.portal.broker.parked == []


@pytest.mark.usefixtures("patient")
async def test_a_question_that_no_checker_survives_ends_no_ticket(work: Work) -> None:
    def die(delivery: Delivery) -> None:
        raise RuntimeError(delivery.message_id)

    work.portal.broker.consume(RESULT_CHECKS, die)
    await work.give(result_files())

    status, _ = await work.succeed()

    assert isinstance(work.portal.broker, MemoryBroker)
    assert len(work.portal.broker.parked) == 1
    assert (status, await work.status()) == (400, "claimed")


async def test_the_check_can_be_turned_off(
    work: Work, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(settings.__dict__, "check_results", False)

    assert await work.succeed() == (200, "success")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("lung 10:42.nii.gz", "it has the character :"),
        ("what?.nii", "it has the character ?"),
        ("lungs.nii.", "it begins or ends with a blank, or ends with a dot"),
        ("NUL.nii", "Windows keeps this name for a device"),
    ],
)
async def test_a_result_that_not_everybody_can_store_is_refused_at_once(
    work: Work, name: str, why: str
) -> None:
    path = f"{work.base}/files/results"

    answer = await send_file(work.provider, path, name, b"x")

    assert answer == (400, f"Not every system can store the file '{name}': {why}. Rename it.")
    assert await text(work.provider, path) == ""


async def test_results_that_are_one_file_on_some_systems_are_refused(work: Work) -> None:
    path = f"{work.base}/files/results"
    await work.give({"Lungs.nii.gz": b"x"})

    answer = await send_file(work.provider, path, "lungs.NII.gz", b"y")

    assert answer[0] == 400
    assert "the same file on some systems" in answer[1]
    assert await text(work.provider, path) == "0,Lungs.nii.gz\r\n"


async def test_of_a_user_s_names_only_what_no_client_saves_is_refused(portal: Portal) -> None:
    await portal.announce_service()
    ann = await portal.user()
    number = (await post(ann, "/api/tickets", name="lung-segmentation"))[1]
    path = f"/api/tickets/{number}/files/input"

    assert (await send_file(ann, path, "scan 10:42.nii.gz", b"x"))[0] == 400
    assert await send_file(ann, path, "what? *a*.nii.gz", b"x") == (200, "success")
    assert await send_file(ann, path, "Scan.nii.gz", b"x") == (200, "success")
    assert await send_file(ann, path, "scan.nii.gz", b"x") == (200, "success")


@pytest.mark.usefixtures("checked")
async def test_more_files_than_a_question_can_name_are_refused(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dss_broker.codec.MAX_BODY_BYTES", 500)
    await work.give({**result_files(), "x" * 250: b"", "y" * 250: b""})

    status, sentence = await work.succeed()

    assert (status, sentence[:30]) == (400, "The results are too many files")
    assert await Ticket.exists(id=work.ticket, status=Status.CLAIMED)
