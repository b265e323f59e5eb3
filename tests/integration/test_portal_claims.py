"""Claims, leases and what claimed tickets tell."""

import asyncio
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import cast
from urllib.parse import urlsplit

import pytest
from quart.typing import TestClientProtocol as Client

from dss_broker import topology
from dss_broker.handling import Received
from dss_broker.messages import (
    AttachedFile,
    ClaimFailed,
    ClaimGranted,
    ClaimHeartbeat,
    ClaimLogged,
    ClaimProgressed,
    ClaimRefused,
    ClaimSucceeded,
    ResultFile,
    TicketWithdrawn,
)
from dss_datastore import layout
from dss_observability.tracing import TRACEPARENT
from dss_portal.models import Claim, OutboxMessage, TicketHistory
from dss_portal.tickets import claims, leases, store
from support.portals import (
    LONG_AGO,
    Portal,
    eventually,
    new_ticket,
    post,
    send_file,
    submitted_ticket,
    text,
)

pytestmark = pytest.mark.stack

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def _status(client: Client, ticket_id: int, expected: str) -> None:
    await eventually(
        lambda: text(client, f"/api/tickets/{ticket_id}/status"), lambda now: now == expected
    )


async def _log(client: Client, ticket_id: int) -> list[str]:
    found = json.loads(await text(client, f"/api/tickets/{ticket_id}/log?format=json"))
    return [line["message"] for line in found["result"]]


@pytest.fixture
async def client(portal: Portal) -> Client:
    await portal.announce_service()
    return await portal.user()


def _stage(portal: Portal, granted: ClaimGranted, name: str, data: bytes) -> ResultFile:
    folder = portal.datastore / layout.staging_dir(granted.ticket_id, granted.claim_id)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return ResultFile(name=name, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


async def test_a_claim_is_seen_by_the_user(portal: Portal, client: Client) -> None:
    ticket_id = await submitted_ticket(client)

    await portal.granted(ticket_id)

    assert await text(client, f"/api/tickets/{ticket_id}/status") == "claimed"
    assert (await _log(client, ticket_id))[-1] == "Ticket claimed by provider dss instance i1"


async def test_a_second_delivery_is_refused_while_the_first_is_at_work(
    portal: Portal, client: Client
) -> None:
    ticket_id = await submitted_ticket(client)
    await portal.granted(ticket_id, "d1")

    answer = await portal.claim(ticket_id, "d2", "i2")

    assert isinstance(answer, ClaimRefused)
    assert answer.reason == "No ticket waits any more."


async def test_the_same_delivery_in_new_hands_moves_the_claim_at_once(
    portal: Portal, client: Client
) -> None:
    ticket_id = await submitted_ticket(client)
    old = await portal.granted(ticket_id, "d1")

    new = await portal.claim(ticket_id, "d1", "i2")

    assert isinstance(new, ClaimGranted)
    assert new.claim_id != old.claim_id


async def test_the_same_question_gets_the_same_answer(portal: Portal, client: Client) -> None:
    """Asked again by who has waited long, or delivered again because its portal died."""
    ticket_id = await submitted_ticket(client)
    first = await portal.granted(ticket_id, "d1")
    await Claim.filter(id=first.claim_id).update(expires_at=LONG_AGO)

    again = await portal.granted(ticket_id, "d1")

    assert again == first
    assert (await Claim.get()).expires_at > LONG_AGO
    assert (await _log(client, ticket_id)).count("Ticket claimed by provider dss instance i1") == 1


async def test_the_same_hands_take_over_from_themselves_with_a_later_delivery(
    portal: Portal, client: Client
) -> None:
    """They have been restarted, or try again."""
    ticket_id = await submitted_ticket(client)
    old = await portal.granted(ticket_id, "d1")

    new = await portal.granted(ticket_id, "d1", deliveries=2)

    assert new.claim_id != old.claim_id


async def test_a_question_that_was_long_under_way_takes_nothing_from_later_hands(
    portal: Portal, client: Client
) -> None:
    """Who asked it has given up, or was frozen; who took over is at work."""
    ticket_id = await submitted_ticket(client)
    current = await portal.granted(ticket_id, "d1", deliveries=2)

    late = await portal.claim(ticket_id, "d1", "i0", deliveries=1)
    again = await portal.claim(ticket_id, "d1", "i2", deliveries=3)

    assert isinstance(late, ClaimRefused)
    assert isinstance(again, ClaimGranted)
    granted = [claim.id for claim in await Claim.filter(ticket_id=ticket_id)]
    assert sorted(granted) == sorted([current.claim_id, again.claim_id])


async def test_a_ticket_stays_in_the_trace_of_its_submission(
    portal: Portal, client: Client
) -> None:
    """Whoever announces it again, and whichever ticket's message leads to it."""
    ticket_id = await new_ticket(client)
    await send_file(client, f"/api/tickets/{ticket_id}/files/input", "a.itksnap", b"<registry/>")
    status, headers = {"status": "ready"}, {TRACEPARENT: TRACE}
    await client.post(f"/api/tickets/{ticket_id}/status", form=status, headers=headers)
    await eventually(OutboxMessage.all().count, lambda waiting: waiting == 0)
    portal.serve()
    portal.settings.__dict__["reconcile_s"] = 0

    await portal.sweep()

    assert cast("Received", await portal.next_ready()).envelope.traceparent == TRACE
    assert (await portal.granted(ticket_id, "of another")).traceparent == TRACE


async def test_the_events_of_an_old_claim_change_nothing(portal: Portal, client: Client) -> None:
    """The reference's weakness 12."""
    ticket_id = await submitted_ticket(client)
    old = await portal.granted(ticket_id, "d1")
    new = await portal.granted(ticket_id, "d1", deliveries=2)

    await portal.tell(ClaimFailed(ticket_id=ticket_id, claim_id=old.claim_id, reason="Old."))
    await portal.tell(
        ClaimLogged(ticket_id=ticket_id, claim_id=new.claim_id, level="info", text="New.")
    )

    await eventually(lambda: _log(client, ticket_id), lambda log: log[-1] == "New.")
    assert await text(client, f"/api/tickets/{ticket_id}/status") == "claimed"


async def test_a_deleted_ticket_is_not_given_out(portal: Portal, client: Client) -> None:
    ticket_id = await submitted_ticket(client)
    await text(client, f"/api/tickets/{ticket_id}/delete")

    answer = await portal.claim(ticket_id)

    assert isinstance(answer, ClaimRefused)
    assert answer.reason == "No ticket waits any more."


async def test_a_deletion_is_told_to_who_is_at_work(portal: Portal, client: Client) -> None:
    withdrawn: list[object] = []
    portal.broker.consume(
        topology.withdrawn("dispatch"), lambda delivery: withdrawn.append(delivery.message)
    )
    ticket_id = await submitted_ticket(client)
    await portal.granted(ticket_id)

    await text(client, f"/api/tickets/{ticket_id}/delete")

    async def seen() -> list[object]:
        return withdrawn

    expected = TicketWithdrawn(ticket_id=ticket_id, service="lung-segmentation")
    await eventually(seen, lambda found: found == [expected])


async def test_progress_moves_the_bar(portal: Portal, client: Client) -> None:
    ticket_id = await submitted_ticket(client)
    granted = await portal.granted(ticket_id)
    half = ClaimProgressed(
        ticket_id=ticket_id,
        claim_id=granted.claim_id,
        chunk_start=0,
        chunk_end=1,
        progress=0.5,
    )

    await portal.tell(half)

    await eventually(
        lambda: text(client, f"/api/tickets/{ticket_id}/progress"), lambda now: now == "0.5"
    )


async def test_a_new_claim_begins_at_zero(portal: Portal, client: Client) -> None:
    """The reference's weakness 15."""
    ticket_id = await submitted_ticket(client)
    old = await portal.granted(ticket_id, "d1")
    await portal.tell(
        ClaimProgressed(
            ticket_id=ticket_id, claim_id=old.claim_id, chunk_start=0, chunk_end=1, progress=0.5
        )
    )
    await eventually(
        lambda: text(client, f"/api/tickets/{ticket_id}/progress"), lambda now: now == "0.5"
    )

    await portal.granted(ticket_id, "d1", deliveries=2)

    assert await text(client, f"/api/tickets/{ticket_id}/progress") == "0.0"


async def test_a_line_told_twice_is_logged_once(portal: Portal, client: Client) -> None:
    ticket_id = await submitted_ticket(client)
    granted = await portal.granted(ticket_id)
    line = ClaimLogged(ticket_id=ticket_id, claim_id=granted.claim_id, level="info", text="Once.")
    last = ClaimLogged(ticket_id=ticket_id, claim_id=granted.claim_id, level="info", text="Last.")

    await portal.tell(line, "m1")
    await portal.tell(line, "m1")
    await portal.tell(last, "m2")

    log = await eventually(lambda: _log(client, ticket_id), lambda found: found[-1] == "Last.")
    assert log.count("Once.") == 1


def _found(granted: ClaimGranted, name: str) -> ClaimLogged:
    """A line with a file of the claim's dispatcher."""
    return ClaimLogged(
        ticket_id=granted.ticket_id,
        claim_id=granted.claim_id,
        level="info",
        text="Found.",
        attachments=(AttachedFile(name=name, description="Findings", mime_type="text/csv"),),
    )


async def _attachments(client: Client, ticket_id: int, line: str) -> list[dict[str, str]]:
    detail = json.loads(await text(client, f"/api/tickets/{ticket_id}/detail?since=0"))
    lines = [entry for entry in detail["result"]["log"] if entry["message"] == line]
    return [found for entry in lines for found in entry["attachments"]]


async def test_a_file_of_the_dispatcher_is_attached_once_though_told_twice(
    portal: Portal, client: Client
) -> None:
    ticket_id = await submitted_ticket(client)
    granted = await portal.granted(ticket_id)
    left = portal.datastore / layout.attached_dir(ticket_id, granted.claim_id) / "findings.csv"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"number,x_mm\n")

    await portal.tell(_found(granted, left.name), "m1")
    await portal.tell(_found(granted, left.name), "m1")

    (attached,) = await eventually(
        lambda: _attachments(client, ticket_id, "Found."), lambda found: len(found) == 1
    )
    assert (attached["description"], attached["mime_type"]) == ("Findings", "text/csv")
    blob = await portal.app.test_client().get(urlsplit(attached["url"]).path)
    assert await blob.get_data() == b"number,x_mm\n"


@pytest.mark.parametrize("name", ["gone.csv", "link.csv"])
async def test_a_file_that_is_gone_or_a_link_is_left_out_and_the_line_stays(
    portal: Portal, client: Client, name: str
) -> None:
    ticket_id = await submitted_ticket(client)
    granted = await portal.granted(ticket_id)
    folder = portal.datastore / layout.attached_dir(ticket_id, granted.claim_id)
    folder.mkdir(parents=True)
    (folder / "link.csv").symlink_to(portal.datastore / layout.area_dir(ticket_id, "input"))

    await portal.tell(_found(granted, name))

    await eventually(lambda: _log(client, ticket_id), lambda log: log[-1] == "Found.")
    assert await _attachments(client, ticket_id, "Found.") == []


async def test_a_success_publishes_the_staged_files(portal: Portal, client: Client) -> None:
    ticket_id = await submitted_ticket(client)
    granted = await portal.granted(ticket_id)
    files = (
        _stage(portal, granted, "seg.nii.gz", b"seg"),
        _stage(portal, granted, "w.itksnap", b"w"),
    )
    message = ClaimSucceeded(ticket_id=ticket_id, claim_id=granted.claim_id, files=files)

    await portal.tell(message)
    await portal.tell(message)

    await _status(client, ticket_id, "success")
    results = f"/api/tickets/{ticket_id}/files/results"
    assert await text(client, results) == "0,seg.nii.gz\r\n1,w.itksnap\r\n"
    assert await text(client, f"{results}/0") == "seg"
    assert await text(client, f"/api/tickets/{ticket_id}/progress") == "0.0"
    detail = json.loads(await text(client, f"/api/tickets/{ticket_id}/detail"))["result"]
    assert detail["progress"] == 1.0


async def test_a_success_of_an_old_claim_publishes_nothing(portal: Portal, client: Client) -> None:
    ticket_id = await submitted_ticket(client)
    old = await portal.granted(ticket_id, "d1")
    stale = _stage(portal, old, "seg.nii.gz", b"stale")
    new = await portal.granted(ticket_id, "d1", deliveries=2)
    fresh = _stage(portal, new, "seg.nii.gz", b"fresh")

    await portal.tell(ClaimSucceeded(ticket_id=ticket_id, claim_id=old.claim_id, files=(stale,)))
    await portal.tell(ClaimSucceeded(ticket_id=ticket_id, claim_id=new.claim_id, files=(fresh,)))

    await _status(client, ticket_id, "success")
    assert await text(client, f"/api/tickets/{ticket_id}/files/results/0") == "fresh"


async def test_a_success_whose_files_are_missing_fails_with_a_sentence(
    portal: Portal, client: Client
) -> None:
    ticket_id = await submitted_ticket(client)
    granted = await portal.granted(ticket_id)
    ghost = ResultFile(name="ghost.nii", size_bytes=3, sha256="0" * 64)

    await portal.tell(
        ClaimSucceeded(ticket_id=ticket_id, claim_id=granted.claim_id, files=(ghost,))
    )

    await _status(client, ticket_id, "failed")
    assert "operator" in (await _log(client, ticket_id))[-1]


async def test_a_failure_tells_its_reason(portal: Portal, client: Client) -> None:
    ticket_id = await submitted_ticket(client)
    granted = await portal.granted(ticket_id)

    await portal.tell(
        ClaimFailed(ticket_id=ticket_id, claim_id=granted.claim_id, reason="No layer is tagged.")
    )

    await _status(client, ticket_id, "failed")
    log = json.loads(await text(client, f"/api/tickets/{ticket_id}/log?format=json"))["result"]
    assert (log[-1]["category"], log[-1]["message"]) == ("error", "No layer is tagged.")


async def test_a_lapsed_lease_is_given_again_and_times_out_in_the_end(
    portal: Portal, client: Client
) -> None:
    """The ancestors' fault 2, the reference's weakness 18."""
    portal.serve()
    ticket_id = await submitted_ticket(client)
    for attempt in (1, 2, 3):
        assert (await portal.next_ready()).message.attempt == attempt  # type: ignore[union-attr]
        granted = await portal.granted(ticket_id, f"d{attempt}")
        await Claim.filter(id=granted.claim_id).update(expires_at=LONG_AGO)

        assert await portal.sweep() == 1

    await _status(client, ticket_id, "timeout")
    history = await TicketHistory.filter(ticket_id=ticket_id).order_by("id")
    assert [entry.status.value for entry in history] == [
        "init",
        *["ready", "claimed"] * 3,
        "timeout",
    ]


@pytest.mark.parametrize("minutes", [-10, 10])
async def test_a_portal_whose_clock_is_wrong_calls_nobody_dead(
    portal: Portal, client: Client, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    ticket_id = await submitted_ticket(client)
    wrong = datetime.now(UTC) + timedelta(minutes=minutes)
    for module in (claims, store):
        monkeypatch.setattr(module, "now", lambda: wrong)

    await portal.granted(ticket_id)

    assert await claims.lapsed() == []
    expires_in = (await Claim.get()).expires_at - datetime.now(UTC)
    assert timedelta(0) < expires_in <= timedelta(seconds=portal.settings.lease_s)


async def test_a_sign_of_life_under_way_saves_the_claim(portal: Portal, client: Client) -> None:
    """It waited in the broker for longer than the lease, say because the portals were frozen."""
    ticket_id = await submitted_ticket(client)
    granted = await portal.granted(ticket_id)
    await Claim.filter(id=granted.claim_id).update(expires_at=LONG_AGO)
    line = ClaimLogged(
        ticket_id=ticket_id, claim_id=granted.claim_id, level="info", text="Still here."
    )
    portal.broker.publish(line)

    await portal.sweep()

    await eventually(lambda: _log(client, ticket_id), lambda log: log[-1] == "Still here.")
    assert await text(client, f"/api/tickets/{ticket_id}/status") == "claimed"


async def test_a_claim_that_waits_for_its_next_try_is_not_missed(
    portal: Portal, client: Client
) -> None:
    """A full disk is looked at again after two minutes, and a lease is one."""
    ticket_id = await submitted_ticket(client)
    granted = await portal.granted(ticket_id)
    before = (await Claim.get(id=granted.claim_id)).expires_at
    pause = ClaimHeartbeat(ticket_id=ticket_id, claim_id=granted.claim_id, pause_s=120.0)

    portal.broker.publish(pause)

    async def longer_s() -> float:
        return ((await Claim.get(id=granted.claim_id)).expires_at - before).total_seconds()

    await eventually(longer_s, lambda seconds: 120 <= seconds < 180)


async def test_nobody_is_called_dead_before_the_broker_has_been_there_for_a_while(
    portal: Portal, client: Client
) -> None:
    ticket_id = await submitted_ticket(client)
    granted = await portal.granted(ticket_id)
    await Claim.filter(id=granted.claim_id).update(expires_at=LONG_AGO)

    assert await leases.Overdue(portal.broker, grace_s=60).ask() == 0
    patient = leases.Overdue(portal.broker, grace_s=0)
    assert await patient.ask() == 1
    assert await patient.ask() == 0  # asked once


async def test_a_ticket_whose_announcement_was_missed_is_announced_again(
    portal: Portal, client: Client
) -> None:
    ticket_id = await submitted_ticket(client)
    await eventually(OutboxMessage.all().count, lambda waiting: waiting == 0)
    portal.serve()
    portal.settings.__dict__["reconcile_s"] = 0

    assert await portal.sweep() == 1

    assert (await portal.next_ready()).message.ticket_id == ticket_id  # type: ignore[union-attr]


async def test_one_of_32_claimers_gets_a_ticket(portal: Portal, client: Client) -> None:
    """The ancestors' fault 1."""
    ticket_id = await submitted_ticket(client)

    answers = await asyncio.gather(*(portal.claim(ticket_id, f"d{i}") for i in range(32)))

    assert sum(isinstance(answer, ClaimGranted) for answer in answers) == 1


async def test_the_next_ticket_works_after_a_failed_one(portal: Portal, client: Client) -> None:
    first = await submitted_ticket(client)
    granted = await portal.granted(first)
    await portal.tell(ClaimFailed(ticket_id=first, claim_id=granted.claim_id, reason="Bad."))
    await _status(client, first, "failed")

    second = await submitted_ticket(client)

    assert isinstance(await portal.claim(second, "d2"), ClaimGranted)
    assert (await post(client, f"/api/tickets/{second}/status", status="ready"))[0] == 400
