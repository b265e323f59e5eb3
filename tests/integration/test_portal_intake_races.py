# mypy: allow-untyped-calls
"""Late and repeated answers, and portals that die, queue an uploaded ticket once and lose nothing."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest
from quart.typing import TestClientProtocol as Client

from dss_broker.broker import Delivery
from dss_broker.messages import ReadUpload, UploadRead
from dss_broker.topology import UPLOADS
from dss_portal.database import clock
from dss_portal.intake import events, placing, rounds
from dss_portal.intake import store as intakes
from dss_portal.models import Intake, Ticket
from support import intake_tickets
from support.dicom_uploads import two_series
from support.intake_tickets import inputs, on_disk, owned
from support.intakes import LETTER, Sent, declare, reading, send, status, until, upload
from support.portals import Portal, eventually, new_ticket, text

pytestmark = pytest.mark.stack

scan = intake_tickets.scan


async def test_a_ticket_that_is_being_read_is_not_given_up(
    portal: Portal, ann: Client, scan: Sent
) -> None:
    ticket = await send(ann, scan)
    long_ago = clock.now() - timedelta(days=90)
    await Ticket.filter(id=ticket).update(created_at=long_ago, uploaded_at=long_ago)

    await portal.sweep()

    assert await status(ann, ticket) == "init"


async def test_a_refused_upload_is_given_up_in_the_end(portal: Portal, ann: Client) -> None:
    reading(portal)
    ticket = await send(ann, LETTER)
    await until(ann, ticket, "refused")
    long_ago = clock.now() - timedelta(days=90)
    await Ticket.filter(id=ticket).update(created_at=long_ago, uploaded_at=long_ago)

    await portal.sweep()

    assert await status(ann, ticket) == "timeout"


class Held:
    """Keeps the requests and answers them when the test says so."""

    def __init__(self, portal: Portal) -> None:
        self.asked: list[ReadUpload] = []
        self._reader = reading_of(portal)
        portal.broker.consume(UPLOADS, self._keep)

    def _keep(self, delivery: Delivery) -> None:
        assert isinstance(delivery.message, ReadUpload)
        self.asked.append(delivery.message)

    def read(self, number: int = -1) -> UploadRead:
        told = self._reader.answer_to(self.asked[number])
        assert isinstance(told, UploadRead), told
        return told

    async def next(self, count: int = 1) -> ReadUpload:
        async def look() -> int:
            return len(self.asked)

        await eventually(look, lambda found: found >= count)
        return self.asked[-1]


class reading_of:  # noqa: N801  (a small function with a name)
    """Reads without a broker."""

    def __init__(self, portal: Portal) -> None:
        from dss_dispatch.uploads.handling import READ_LIMITS, UploadReader  # noqa: PLC0415  (slow to load)

        self._reader = UploadReader(portal.broker, portal.datastore, READ_LIMITS, "held", Event())

    def answer_to(self, asked: ReadUpload) -> object:
        with self._reader._datastore.access() as files:
            return self._reader._answer(asked, files)


async def test_a_late_answer_to_an_earlier_upload_is_ignored(
    portal: Portal, ann: Client, scan: Sent, tmp_path: Path
) -> None:
    held = Held(portal)
    ticket = await send(ann, scan)
    await held.next()
    late = held.read()
    other = replace(scan, name="other.nrrd")
    assert await declare(ann, ticket, other) == (200, "success")
    await upload(ann, ticket, other)
    await held.next(2)

    await portal.tell(late)
    await portal.tell(held.read())
    await until(ann, ticket, "ready")

    assert len(await inputs(ann, ticket)) == 2
    assert [name for name in on_disk(portal, ticket) if not name.startswith("input/")] == []


async def test_an_answer_that_comes_twice_is_taken_once(
    portal: Portal, ann: Client, tmp_path: Path
) -> None:
    held = Held(portal)
    ticket = await send(ann, Sent(name="main.tar", data=two_series(tmp_path)), series="each")
    await held.next()
    told = held.read()

    for _ in range(3):
        await portal.tell(told)
    await until(ann, ticket, "ready")
    await portal.tell(told)
    await portal.announce_service(name="a-marker")  # all events before it have been handled

    for number in await owned(ann):
        await until(ann, number, "ready")
    assert [await status(ann, number) for number in await owned(ann)] == ["ready"] * 2
    assert on_disk(portal, ticket) == [f"input/{name}" for name in await inputs(ann, ticket)]


@pytest.mark.parametrize("dies_after", ["the answer is noted", "the files have their place"])
async def test_a_portal_that_dies_meanwhile_loses_nothing_and_does_nothing_twice(
    portal: Portal,
    ann: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dies_after: str,
) -> None:
    held = Held(portal)
    ticket = await send(ann, Sent(name="main.tar", data=two_series(tmp_path)), series="each")
    await held.next()
    step = "continue_ticket" if dies_after == "the answer is noted" else "_queue"

    async def die(*_: object) -> bool:
        raise RuntimeError("killed")

    with monkeypatch.context() as killed:
        killed.setattr(placing, step, die)
        with pytest.raises(RuntimeError):
            await events.on_read(portal.components.datastore, portal.settings, held.read())
    assert await status(ann, ticket) == "init"
    await rounds.run_once(portal.components.datastore, portal.settings)

    await until(ann, ticket, "ready")
    assert [await status(ann, number) for number in await owned(ann)] == ["ready"] * 2
    for number in await owned(ann):
        names = await inputs(ann, number)
        assert len(names) == 2
        assert on_disk(portal, number) == [f"input/{name}" for name in names]


@pytest.mark.parametrize("meets", ["take_read", "file"])
async def test_two_portals_that_go_on_at_once_queue_the_ticket_once(
    portal: Portal, ann: Client, scan: Sent, monkeypatch: pytest.MonkeyPatch, meets: str
) -> None:
    """The other portal does all of it while this one links (``take_read``) or queues (``file``)."""
    held, parts = Held(portal), portal.components
    ticket = await send(ann, scan)
    await held.next()
    real = getattr(parts.datastore, meets)
    met: list[str] = []

    async def overtaken(*args: object) -> object:
        if not met:
            met.append(meets)
            await placing.continue_ticket(parts.datastore, portal.settings, ticket)
        return await real(*args)

    monkeypatch.setattr(parts.datastore, meets, overtaken)
    await events.on_read(parts.datastore, portal.settings, held.read())

    assert met
    assert await status(ann, ticket) == "ready"
    assert (await Intake.get(ticket_id=ticket)).state == "done"
    assert "error" not in await text(ann, f"/api/tickets/{ticket}/log")
    names = await inputs(ann, ticket)
    assert on_disk(portal, ticket) == [f"input/{name}" for name in names]
    assert len(names) == 2


async def test_replaced_files_of_a_workspace_are_waited_for(portal: Portal, ann: Client) -> None:
    files = [Sent(name="a.itksnap", data=b"<registry/>"), Sent(name="l.nii", data=b"voxels")]
    ticket = await new_ticket(ann)
    await declare(ann, ticket, *files, as_it_is=True)
    await Intake.filter(ticket_id=ticket).update(state="refused", reason="A file is damaged.")
    await upload(ann, ticket, *files)
    assert await status(ann, ticket) == "init"

    await declare(ann, ticket, *files, as_it_is=True)
    await rounds.run_once(portal.components.datastore, portal.settings)
    assert await status(ann, ticket) == "init", "the new files have not come"
    await upload(ann, ticket, *files)
    await rounds.run_once(portal.components.datastore, portal.settings)

    assert await status(ann, ticket) == "ready"


async def test_an_answer_that_no_portal_can_handle_is_told_to_the_user(
    portal: Portal, ann: Client, scan: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a fault of the portal")

    monkeypatch.setattr(events, "_assign_images", fail)
    reading(portal)

    ticket = await send(ann, scan)

    await until(ann, ticket, "refused")


async def test_requests_do_not_pile_up_while_nobody_reads(
    portal: Portal, ann: Client, scan: Sent
) -> None:
    ticket = await send(ann, scan)
    await until(ann, ticket, "reading")
    long_ago = clock.now() - timedelta(days=1)
    await Intake.filter(ticket_id=ticket).update(asked_at=long_ago)

    await rounds.run_once(portal.components.datastore, portal.settings)
    asked_at = (await Intake.get(ticket_id=ticket)).asked_at
    assert asked_at is not None
    assert asked_at <= long_ago
    reading(portal)
    await eventually(intakes.is_read_now, bool)
    await rounds.run_once(portal.components.datastore, portal.settings)

    await until(ann, ticket, "ready")
