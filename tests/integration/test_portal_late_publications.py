"""A portal that lost its transaction goes on with the disk; what it does late changes no file that a user sees."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from quart.typing import TestClientProtocol as Client
from tortoise.transactions import in_transaction

from dss_broker.messages import ClaimFailed, ClaimSucceeded, ResultFile
from dss_datastore import layout
from dss_portal.admin import store as admin
from dss_portal.models import Claim, Status, Ticket
from dss_portal.tickets import claims, cleanup, leases
from dss_portal.tickets.listener import Listener
from support.deliveries import Heard
from support.lost_transactions import Held, hold_first, lose_transactions
from support.portals import (
    DATASTORES,
    LONG_AGO,
    Portal,
    eventually,
    post,
    send_file,
    submitted_ticket,
    text,
)

pytestmark = [pytest.mark.stack, DATASTORES]


async def lapse(number: int) -> None:
    await Claim.filter(ticket_id=number).update(expires_at=LONG_AGO)
    ((_, claim),) = await claims.lapsed()
    assert await leases.lapse(number, claim, 3)


def success(portal: Portal, number: int, claim: str, content: bytes) -> ClaimSucceeded:
    """The message about results that a dispatcher has staged."""
    folder = layout.staging_dir(number, claim)
    place = folder / "attempt" if portal.settings.is_s3 else folder
    portal.write(place / "seg.nii.gz", content)
    file = ResultFile(name="seg.nii.gz", size_bytes=len(content), sha256="")
    return ClaimSucceeded(ticket_id=number, claim_id=claim, files=(file,), staged_dir=str(place))


async def test_results_of_a_lost_claim_replace_none_of_a_newer_one(
    portal: Portal, ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = await submitted_ticket(ann)
    held = hold_first(portal, monkeypatch, "publish_results")
    first = (await portal.granted(number, "d1")).claim_id
    await portal.tell(success(portal, number, first, b"first "))
    await asyncio.wait_for(held.arrived.wait(), 60)
    await lose_transactions()
    await lapse(number)
    second = (await portal.granted(number, "d2")).claim_id
    another = Listener(portal.components.datastore, portal.settings)
    await another.on_event(Heard(message=success(portal, number, second, b"second")))
    assert (await Ticket.get(id=number)).status is Status.SUCCESS

    held.go_on.set()
    await asyncio.wait_for(held.done.wait(), 60)

    assert await text(ann, f"/api/tickets/{number}/files/results/0") == "second"
    await cleanup.clean_all(portal.components.datastore, portal.settings)
    assert sum("/attempts/" in name for name in portal.files) == 1


@pytest.fixture
async def provider(portal: Portal, ann: Client) -> Client:
    client = await portal.user("pro@example.com")
    await admin.add_provider_user("dss", "pro@example.com", admin=False)
    return client


async def claimed_over_http(provider: Client, number: int) -> None:
    githash = (await text(provider, "/api/pro/services")).split(",")[2]
    path = f"/api/pro/services/{githash}/claims"
    assert await post(provider, path, provider="dss", code="g") == (200, str(number))


async def send_result(provider: Client, number: int, content: bytes) -> tuple[int, str]:
    return await send_file(
        provider, f"/api/pro/tickets/{number}/files/results", "seg.nii.gz", content
    )


async def upload_without_transaction(
    provider: Client, number: int, held: Held
) -> "asyncio.Task[tuple[int, str]]":
    """Begin an upload whose database session ends while the datastore keeps the file."""
    await claimed_over_http(provider, number)
    late = asyncio.create_task(send_result(provider, number, b"first "))
    await asyncio.wait_for(held.arrived.wait(), 60)
    await lose_transactions()
    return late


async def test_an_upload_of_a_lost_claim_replaces_none_of_a_newer_one(
    portal: Portal, ann: Client, provider: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(portal.settings.__dict__, "check_results", False)
    number = await submitted_ticket(ann)
    held = hold_first(portal, monkeypatch, "keep")
    late = await upload_without_transaction(provider, number, held)
    await lapse(number)
    await claimed_over_http(provider, number)
    assert await send_result(provider, number, b"second") == (200, "success")

    held.go_on.set()
    assert (await late)[0] >= 500
    path = f"/api/pro/tickets/{number}/status"
    assert await post(provider, path, status="success") == (200, "success")

    assert await text(ann, f"/api/tickets/{number}/files/results/0") == "second"


async def test_an_upload_that_arrives_after_the_success_changes_no_result(
    portal: Portal, ann: Client, provider: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(portal.settings.__dict__, "check_results", False)
    number = await submitted_ticket(ann)
    held = hold_first(portal, monkeypatch, "keep")
    late = await upload_without_transaction(provider, number, held)
    assert await send_result(provider, number, b"second") == (200, "success")
    path = f"/api/pro/tickets/{number}/status"
    assert await post(provider, path, status="success") == (200, "success")

    held.go_on.set()
    assert (await late)[0] >= 500

    assert await text(ann, f"/api/tickets/{number}/files/results/0") == "second"


async def test_results_stay_if_the_answer_to_their_commit_is_lost(
    portal: Portal, ann: Client, provider: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(portal.settings.__dict__, "check_results", False)
    number = await submitted_ticket(ann)
    await claimed_over_http(provider, number)
    assert await send_result(provider, number, b"right") == (200, "success")

    @asynccontextmanager
    async def answer_lost() -> AsyncIterator[None]:
        async with in_transaction():
            yield
        raise ConnectionResetError

    path = f"/api/pro/tickets/{number}/status"
    with monkeypatch.context() as patched:
        patched.setattr("dss_portal.providers.completion.in_transaction", answer_lost)
        assert (await post(provider, path, status="success"))[0] >= 500
    assert (await Ticket.get(id=number)).status is Status.SUCCESS

    assert await post(provider, path, status="success") == (200, "success")
    await cleanup.clean_all(portal.components.datastore, portal.settings)
    assert await text(ann, f"/api/tickets/{number}/files/results/0") == "right"


async def test_a_cleaning_that_has_lost_its_lock_removes_no_newer_results(
    portal: Portal, ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = await submitted_ticket(ann)
    first = (await portal.granted(number, "d1")).claim_id
    await portal.tell(ClaimFailed(ticket_id=number, claim_id=first, reason="It broke."))
    await eventually(lambda: text(ann, f"/api/tickets/{number}/status"), lambda s: s == "failed")
    # The portal cleans up after the failure, too.
    held = hold_first(portal, monkeypatch, "remove_leftovers", in_task="late")
    cleaning = cleanup.clean_up(portal.components.datastore, number)
    late = asyncio.create_task(cleaning, name="late")
    await asyncio.wait_for(held.arrived.wait(), 60)
    await lose_transactions()
    assert await text(ann, f"/api/tickets/{number}/retry") == "ready"
    second = (await portal.granted(number, "d2")).claim_id
    another = Listener(portal.components.datastore, portal.settings)
    await another.on_event(Heard(message=success(portal, number, second, b"second")))

    held.go_on.set()
    (ended,) = await asyncio.gather(late, return_exceptions=True)
    assert isinstance(ended, Exception)

    assert await text(ann, f"/api/tickets/{number}/files/results/0") == "second"


async def test_two_requests_at_once_end_a_ticket_in_success(
    portal: Portal, ann: Client, provider: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(portal.settings.__dict__, "check_results", False)
    number = await submitted_ticket(ann)
    await claimed_over_http(provider, number)
    assert await send_result(provider, number, b"right") == (200, "success")
    held = hold_first(portal, monkeypatch, "freeze")
    path = f"/api/pro/tickets/{number}/status"
    late = asyncio.create_task(post(provider, path, status="success"))
    await asyncio.wait_for(held.arrived.wait(), 60)
    assert await post(provider, path, status="success") == (200, "success")

    held.go_on.set()

    assert await late == (200, "success")
    assert await text(ann, f"/api/tickets/{number}/files/results/0") == "right"


async def test_a_retry_that_is_rolled_back_keeps_the_files_of_the_ticket(
    portal: Portal, ann: Client, provider: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = await submitted_ticket(ann)
    await claimed_over_http(provider, number)
    assert await send_result(provider, number, b"a part") == (200, "success")
    assert (await post(provider, f"/api/pro/tickets/{number}/status", status="failed"))[0] == 200

    async def broken(*_: object) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patched:
        patched.setattr("dss_portal.tickets.submission.announce", broken)
        assert (await ann.get(f"/api/tickets/{number}/retry")).status_code >= 500

    assert await text(ann, f"/api/tickets/{number}/files/results/0") == "a part"
    assert await text(ann, f"/api/tickets/{number}/retry") == "ready"
    assert not any("/attempts/" in name or "/results/" in name for name in portal.files)
