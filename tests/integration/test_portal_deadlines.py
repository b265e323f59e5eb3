"""Stages that take too long, and what nobody needs any more."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from quart.typing import TestClientProtocol as Client

from dss_broker import topology
from dss_broker.messages import ClaimProgressed, TicketWithdrawn
from dss_datastore import layout
from dss_portal.accounts import store as accounts
from dss_portal.admin import store as admin
from dss_portal.models import Claim, LoginToken, Session, Status, Ticket
from support.portals import Portal, eventually, new_ticket, post, send_file, submitted_ticket, text

pytestmark = pytest.mark.stack

HOUR = timedelta(hours=1)


def ago(hours: float) -> datetime:
    return datetime.now(UTC) - hours * HOUR


async def last_line(client: Client, ticket_id: int) -> tuple[str, str]:
    found = json.loads(await text(client, f"/api/tickets/{ticket_id}/log?format=json"))["result"]
    return found[-1]["category"], found[-1]["message"]


async def status(client: Client, ticket_id: int) -> str:
    return await text(client, f"/api/tickets/{ticket_id}/status")


@pytest.fixture
async def client(portal: Portal) -> Client:
    await portal.announce_service()
    return await portal.user()


async def test_an_upload_that_is_never_finished_is_given_up_and_its_files_go(
    portal: Portal, client: Client
) -> None:
    ticket_id = await new_ticket(client)
    await send_file(client, f"/api/tickets/{ticket_id}/files/input", "a.nii", b"voxels")
    await Ticket.filter(id=ticket_id).update(created_at=ago(25))

    assert await portal.sweep() == 1

    assert await status(client, ticket_id) == "timeout"
    category, sentence = await last_line(client, ticket_id)
    assert category == "error"
    assert sentence.startswith("The ticket was not submitted within 1 d 00 h, so it was given up")
    assert await text(client, f"/api/tickets/{ticket_id}/files/input") == ""
    assert not (portal.datastore / layout.ticket_dir(ticket_id)).exists()
    assert await portal.sweep() == 0


async def test_an_upload_within_its_time_is_left_alone(portal: Portal, client: Client) -> None:
    ticket_id = await new_ticket(client)
    await Ticket.filter(id=ticket_id).update(created_at=ago(23), uploaded_at=ago(0.9))

    assert await portal.sweep() == 0

    assert await status(client, ticket_id) == "init"


async def test_a_ticket_that_nobody_takes_is_given_up_and_can_be_retried(
    portal: Portal, client: Client
) -> None:
    ticket_id = await submitted_ticket(client)
    await Ticket.filter(id=ticket_id).update(queued_at=ago(7 * 24 + 1))

    assert await portal.sweep() == 1

    assert await status(client, ticket_id) == "timeout"
    assert (await last_line(client, ticket_id))[1].startswith("Nobody took the ticket within 7 d")
    assert await text(client, f"/api/tickets/{ticket_id}/retry") == "ready"
    assert await portal.sweep() == 0


async def test_an_attempt_that_takes_too_long_is_taken_away_and_tried_again(
    portal: Portal, client: Client
) -> None:
    withdrawn: list[object] = []
    portal.broker.consume(
        topology.withdrawn("dispatch"), lambda delivery: withdrawn.append(delivery.message)
    )
    ticket_id = await submitted_ticket(client)
    slow = await portal.granted(ticket_id)
    await Ticket.filter(id=ticket_id).update(claimed_at=ago(25))

    assert await portal.sweep() == 1

    assert await status(client, ticket_id) == "ready"
    sentence = "Attempt 1 of 3 took longer than 1 d 00 h; the next one is queued."
    assert await last_line(client, ticket_id) == ("warning", sentence)

    async def told() -> list[object]:
        return withdrawn

    order = TicketWithdrawn(
        ticket_id=ticket_id, service="lung-segmentation", claim_id=slow.claim_id
    )
    await eventually(told, lambda found: found == [order])


async def test_the_last_attempt_that_takes_too_long_ends_the_ticket(
    portal: Portal, client: Client
) -> None:
    ticket_id = await submitted_ticket(client)
    await portal.granted(ticket_id)
    await Ticket.filter(id=ticket_id).update(claimed_at=ago(25), attempt=3)

    assert await portal.sweep() == 1

    assert await status(client, ticket_id) == "timeout"
    assert (await last_line(client, ticket_id))[1].endswith("the ticket was given up.")


async def test_signs_of_life_do_not_prolong_an_attempt_for_ever(
    portal: Portal, client: Client
) -> None:
    ticket_id = await submitted_ticket(client)
    granted = await portal.granted(ticket_id)
    await Ticket.filter(id=ticket_id).update(claimed_at=ago(25))
    alive = ClaimProgressed(
        ticket_id=ticket_id, claim_id=granted.claim_id, chunk_start=0, chunk_end=1, progress=0.5
    )
    await portal.tell(alive)
    await eventually(
        lambda: text(client, f"/api/tickets/{ticket_id}/progress"), lambda now: now == "0.5"
    )

    assert await portal.sweep() == 1


async def test_a_take_over_does_not_begin_the_attempt_anew(portal: Portal, client: Client) -> None:
    ticket_id = await submitted_ticket(client)
    await portal.granted(ticket_id, "d1")
    began = (await Ticket.get(id=ticket_id)).claimed_at

    await portal.granted(ticket_id, "d1", deliveries=2)

    assert (await Ticket.get(id=ticket_id)).claimed_at == began


async def test_a_service_has_deadlines_of_its_own(portal: Portal) -> None:
    await portal.announce_service(name="quick", deadlines={"queue_s": 60})
    await portal.announce_service(name="slow")
    client = await portal.user()
    quick, slow = await new_ticket(client, "quick"), await new_ticket(client, "slow")
    for ticket_id in (quick, slow):
        await post(client, f"/api/tickets/{ticket_id}/status", status="ready")
        await Ticket.filter(id=ticket_id).update(queued_at=ago(1))

    assert await portal.sweep() == 1

    assert await status(client, quick) == "timeout"
    assert await status(client, slow) == "ready"
    assert (await last_line(client, quick))[1].startswith("Nobody took the ticket within 1 min")


async def test_a_service_says_how_long_its_claims_last(portal: Portal) -> None:
    await portal.announce_service(deadlines={"claim_s": 600})
    client = await portal.user()
    ticket_id = await submitted_ticket(client)

    granted = await portal.granted(ticket_id, "d1")

    claim = await Claim.get(id=granted.claim_id)
    assert granted.lease_s == claim.lease_s == 600
    assert timedelta(seconds=590) < claim.expires_at - datetime.now(UTC)


async def test_a_service_says_how_long_claims_of_polling_providers_last(portal: Portal) -> None:
    await portal.announce_service(deadlines={"claim_s": 600})
    provider = await portal.user("pro@example.com")
    await admin.add_provider_user("dss", "pro@example.com", admin=False)
    ticket_id = await submitted_ticket(await portal.user())
    githash = (await text(provider, "/api/services")).split(",")[1]

    answer = await post(provider, f"/api/pro/services/{githash}/claims", provider="dss")

    assert answer == (200, str(ticket_id))
    assert (await Claim.get()).lease_s == 600


async def test_a_finished_ticket_has_no_deadline(portal: Portal, client: Client) -> None:
    ticket_id = await submitted_ticket(client)
    await Ticket.filter(id=ticket_id).update(
        status=Status.SUCCESS, created_at=ago(9999), queued_at=ago(9999), claimed_at=ago(9999)
    )

    assert await portal.sweep() == 0


async def test_what_has_expired_is_forgotten_and_nothing_else(
    portal: Portal, client: Client
) -> None:
    user = await accounts.user_named("ann@example.com")
    await accounts.new_login_token(user, life_s=-1)
    good = await accounts.new_login_token(user, life_s=60)
    revoked = await accounts.open_session(user)
    await Session.filter(sha256=accounts.digest(revoked)).update(revoked_at=ago(1))
    old = await accounts.open_session(user)
    await Session.filter(sha256=accounts.digest(old)).update(created_at=ago(2))
    sessions = await Session.all().count()

    await accounts.forget_expired(session_life_s=3600)

    assert await Session.all().count() == sessions - 2
    assert not await LoginToken.filter(expires_at__lt=datetime.now(UTC)).exists()
    assert await LoginToken.exists(sha256=accounts.digest(good))
    assert await text(client, "/api/tickets") == ""
