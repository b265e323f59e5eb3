"""What a late or killed program leaves on the shared volume goes away, and nothing else does."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest

from dss_broker.messages import ClaimFailed
from dss_datastore import layout
from dss_portal.datastore import Datastore
from dss_portal.tickets import cleanup, store
from support.portals import Portal, eventually, submitted_ticket, text

pytestmark = pytest.mark.stack


@pytest.fixture
def datastore(portal: Portal) -> Datastore:
    return Datastore(portal.datastore, portal.settings.max_upload_bytes)


async def _failed_ticket(portal: Portal) -> int:
    await portal.announce_service()
    client = await portal.user()
    ticket_id = await submitted_ticket(client)
    claim = await portal.granted(ticket_id)
    with _cleaned_up() as numbers:
        await portal.tell(ClaimFailed(ticket_id=ticket_id, claim_id=claim.claim_id, reason="No."))
        await eventually(_later(numbers), lambda now: ticket_id in now)
    assert await text(client, f"/api/tickets/{ticket_id}/status") == "failed"
    return ticket_id


@contextmanager
def _cleaned_up() -> Iterator[list[int]]:
    """Numbers of the tickets that the listener has cleaned up behind: it does so after it has told their end."""
    numbers: list[int] = []
    real = cleanup.clean_up

    async def noted(datastore: Datastore, number: int) -> bool:
        removed = await real(datastore, number)
        numbers.append(number)
        return removed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cleanup, "clean_up", noted)
        yield numbers


def _later(numbers: list[int]) -> Callable[[], Awaitable[list[int]]]:
    async def now() -> list[int]:
        return numbers

    return now


async def test_what_came_after_the_end_is_removed(portal: Portal, datastore: Datastore) -> None:
    ticket_id = await _failed_ticket(portal)
    work = portal.datastore / layout.work_dir(ticket_id, "0" * 32)
    work.mkdir(parents=True)
    uploads = portal.datastore / layout.area_dir(ticket_id, "input")
    (uploads / ".0123.part").write_bytes(b"broken off")

    assert await cleanup.clean_ended(datastore) == 1

    assert not work.exists()
    assert [path.name for path in uploads.iterdir()] == ["a.itksnap"]
    assert await cleanup.clean_ended(datastore) == 0


async def test_what_nobody_is_shown_is_removed_and_what_somebody_is_stays(
    portal: Portal, datastore: Datastore
) -> None:
    """Published or attached by a portal that died before it could say so."""
    ticket_id = await _failed_ticket(portal)
    await store.register_file(ticket_id, "results", "kept.nii.gz", 4)
    results = portal.datastore / layout.area_dir(ticket_id, "results")
    attached = portal.datastore / layout.attachments_dir(ticket_id)
    for path in (results / "kept.nii.gz", results / "lost.nii.gz", attached / f"{'0' * 32}.csv"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"left")

    assert await cleanup.clean_ended(datastore) == 1

    assert [path.name for path in results.iterdir()] == ["kept.nii.gz"]
    assert list(attached.iterdir()) == []
    assert await cleanup.clean_ended(datastore) == 0


async def test_a_deleted_tickets_folder_does_not_come_back(
    portal: Portal, datastore: Datastore
) -> None:
    ticket_id = await _failed_ticket(portal)
    client = await portal.user()
    await client.get(f"/api/tickets/{ticket_id}/delete")
    late = portal.datastore / layout.work_dir(ticket_id, "0" * 32)
    late.mkdir(parents=True)

    assert await cleanup.clean_ended(datastore) == 1

    assert not (portal.datastore / layout.ticket_dir(ticket_id)).exists()


async def test_a_ticket_that_is_tried_again_keeps_its_files(
    portal: Portal, datastore: Datastore
) -> None:
    ticket_id = await _failed_ticket(portal)
    client = await portal.user()
    assert await text(client, f"/api/tickets/{ticket_id}/retry") == "ready"
    work = portal.datastore / layout.work_dir(ticket_id, "0" * 32)
    work.mkdir(parents=True)

    assert await cleanup.clean_ended(datastore) == 0

    assert work.exists()
