# mypy: allow-untyped-calls
"""Uploads of a browser: another program reads them, and the ticket is queued by itself, once, whatever is killed."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest
from quart.typing import TestClientProtocol as Client

from dss_broker.broker import Delivery
from dss_broker.messages import ReadUpload, UploadRead
from dss_broker.topology import UPLOADS
from dss_datastore import layout
from dss_dispatch.service import service_from
from dss_dispatch.submission.reading import read_submission
from dss_portal.database import clock
from dss_portal.intake import events, placing, rounds
from dss_portal.models import Intake, Ticket, Tier
from support.builders import image, service_json, write_image
from support.dicom_uploads import two_series
from support.intakes import Sent, declare, one, reading, send, sentence, status, until, upload
from support.portals import Portal, eventually, new_ticket, post, text

pytestmark = pytest.mark.stack

TAG = {"name": "CT", "type": "MainImage", "required": True}
LETTER = Sent(name="letter.nii", data=b"Dear colleague")


@pytest.fixture
async def ann(portal: Portal) -> Client:
    await portal.announce_service()
    return await portal.user()


@pytest.fixture
def scan(tmp_path: Path) -> Sent:
    return one(write_image(tmp_path / "scan.nrrd", image()))


async def inputs(client: Client, ticket: int) -> list[str]:
    listed = await text(client, f"/api/tickets/{ticket}/files/input")
    return sorted(line.split(",")[1] for line in listed.splitlines())


def on_disk(portal: Portal, ticket: int) -> list[str]:
    folder = portal.datastore / layout.ticket_dir(ticket)
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


async def owned(client: Client) -> list[int]:
    return [int(row.split(",")[0]) for row in (await text(client, "/api/tickets")).splitlines()]


async def test_the_ticket_is_queued_by_itself_with_what_was_read(
    portal: Portal, ann: Client, scan: Sent
) -> None:
    reading(portal)

    ticket = await send(ann, scan, title="Chest of May")
    await until(ann, ticket, "ready")

    folder = portal.datastore / layout.area_dir(ticket, "input")
    submission = read_submission(folder, service_from(service_json(tags=[TAG])))
    assert submission.image.size == (12, 10, 8)
    layer, workspace = await inputs(ann, ticket)
    assert workspace == f"ticket_{ticket:08d}.itksnap"
    assert on_disk(portal, ticket) == [f"input/{layer}", f"input/{workspace}"]
    assert str(portal.datastore) not in (folder / workspace).read_text()
    assert "Chest of May" in await text(ann, f"/tickets/{ticket}")


async def test_what_cannot_be_read_is_told_and_can_be_replaced(
    portal: Portal, ann: Client, scan: Sent
) -> None:
    reading(portal)
    ticket = await send(ann, LETTER)
    await until(ann, ticket, "refused")
    reason = await sentence(ann, ticket)
    assert reason.endswith(".")
    page = await text(ann, f"/tickets/{ticket}")
    assert reason in page
    assert f"/send?ticket={ticket}" in page

    assert await declare(ann, ticket, scan) == (200, "success")
    await upload(ann, ticket, scan)
    await until(ann, ticket, "ready")

    assert len(await inputs(ann, ticket)) == 2


async def test_without_a_program_that_reads_the_page_says_so_and_nothing_is_lost(
    portal: Portal, ann: Client, scan: Sent
) -> None:
    ticket = await send(ann, scan)
    await until(ann, ticket, "reading")
    assert (await sentence(ann, ticket)).startswith("Nobody reads uploads at present")
    assert "Nobody reads uploads at present" in await text(ann, f"/tickets/{ticket}")

    reading(portal)
    assert await rounds.look(portal.components.datastore, portal.settings) == 0, "not yet due"
    await Intake.filter(ticket_id=ticket).update(asked_at=clock.now() - timedelta(hours=1))
    await rounds.look(portal.components.datastore, portal.settings)

    await until(ann, ticket, "ready")


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
        from dss_dispatch.uploads.handling import READS, UploadReader  # noqa: PLC0415

        self._reader = UploadReader(portal.broker, portal.datastore, READS, "held", Event())

    def answer_to(self, asked: ReadUpload) -> object:
        with self._reader._datastore.access() as files:
            return self._reader._told(asked, files)


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
    step = "go_on" if dies_after == "the answer is noted" else "_queue"

    async def die(*_: object) -> bool:
        raise RuntimeError("killed")

    with monkeypatch.context() as killed:
        killed.setattr(placing, step, die)
        with pytest.raises(RuntimeError):
            await events.on_read(portal.components.datastore, portal.settings, held.read())
    assert await status(ann, ticket) == "init"
    await rounds.look(portal.components.datastore, portal.settings)

    await until(ann, ticket, "ready")
    assert [await status(ann, number) for number in await owned(ann)] == ["ready"] * 2
    for number in await owned(ann):
        names = await inputs(ann, number)
        assert len(names) == 2
        assert on_disk(portal, number) == [f"input/{name}" for name in names]


async def test_series_wait_for_free_places_and_are_queued_by_themselves(
    portal: Portal, ann: Client, tmp_path: Path
) -> None:
    await Tier.filter(name="guest").update(max_tickets=1)
    reading(portal)
    first = await send(ann, Sent(name="main.tar", data=two_series(tmp_path)), series="each")
    await until(ann, first, "ready")
    second = (await owned(ann))[1]
    await eventually(
        lambda: text(ann, f"/tickets/{second}"),
        lambda page: "as many open tickets as you may" in page,
    )

    await ann.get(f"/api/tickets/{first}/delete")
    await rounds.look(portal.components.datastore, portal.settings)

    assert await status(ann, second) == "ready"


async def test_a_series_can_be_chosen_on_the_page(
    portal: Portal, ann: Client, tmp_path: Path
) -> None:
    reading(portal)
    ticket = await send(ann, Sent(name="main.tar", data=two_series(tmp_path)))
    await until(ann, ticket, "refused")
    page = await text(ann, f"/tickets/{ticket}")
    assert 'value="9"' in page
    assert 'value="each"' in page
    token = page.split('name="form_token" value="')[1].split('"')[0]

    wrong = await post(ann, f"/tickets/{ticket}/series", form_token=token, series="4")
    chosen = await post(ann, f"/tickets/{ticket}/series", form_token=token, series="9")

    assert "There is no series 4 to choose." in wrong[1]
    assert chosen[0] == 303
    await until(ann, ticket, "ready")


async def test_a_workspace_with_its_files_is_queued_when_the_last_has_come(
    portal: Portal, ann: Client
) -> None:
    files = [Sent(name="a.itksnap", data=b"<registry/>"), Sent(name="l.nii", data=b"voxels")]
    ticket = await new_ticket(ann)
    await declare(ann, ticket, *files, as_it_is=True)

    await upload(ann, ticket, files[0])
    await rounds.look(portal.components.datastore, portal.settings)
    assert await status(ann, ticket) == "init"
    await upload(ann, ticket, files[1])
    await rounds.look(portal.components.datastore, portal.settings)

    assert await status(ann, ticket) == "ready"


async def test_a_request_among_the_dead_letters_is_told_to_the_user(
    portal: Portal, ann: Client, scan: Sent
) -> None:
    def fail(_: Delivery) -> None:
        raise RuntimeError("a fault of the program")

    portal.broker.consume(UPLOADS, fail)

    ticket = await send(ann, scan)

    await until(ann, ticket, "refused")
    assert "could not be read" in await sentence(ann, ticket)


async def test_services_that_need_more_images_get_them_by_their_tags(
    portal: Portal, ann: Client, scan: Sent
) -> None:
    pet = {"name": "PET", "type": "OverlayImage", "required": True}
    point = {"name": "Seed", "type": "PointLandmark", "required": True}
    await portal.announce_service(name="two-images", tags=[TAG, pet])
    await portal.announce_service(name="a-point", tags=[TAG, point])
    reading(portal)
    other = replace(scan, name="other.nrrd", tag="PET")
    ticket, hopeless = await new_ticket(ann, "two-images"), await new_ticket(ann, "a-point")

    assert "needs 'PET' besides an image" in (await declare(ann, ticket, scan))[1]
    wrong = await declare(ann, ticket, scan, replace(other, tag="MRI"))
    assert "takes no image, or only one, for 'MRI'" in wrong[1]
    assert "workspace from ITK-SNAP" in (await declare(ann, hopeless, scan))[1]
    await declare(ann, ticket, scan, other)
    await upload(ann, ticket, scan, other)

    await until(ann, ticket, "ready")


@pytest.mark.parametrize(
    "request_",
    [
        "",
        "[]",
        '{"files": []}',
        '{"files": [{"name": "../a", "size_bytes": 1}]}',
        '{"files": [{"name": "a", "size_bytes": -1}]}',
        '{"files": [{"name": "a", "size_bytes": 1}, {"name": "a", "size_bytes": 1}]}',
        json.dumps({"files": [{"name": "a", "size_bytes": 1}], "series": "9" * 65}),
        json.dumps({"files": [{"name": f"a{n}", "size_bytes": 1} for n in range(51)]}),
    ],
)
async def test_a_malformed_request_gets_a_sentence(ann: Client, request_: str) -> None:
    ticket = await new_ticket(ann)

    code, said = await post(ann, f"/api/tickets/{ticket}/intake", request=request_)

    assert code == 400
    assert said.endswith(".")


async def test_another_user_sees_and_changes_nothing(
    portal: Portal, ann: Client, scan: Sent
) -> None:
    ticket, bob = await send(ann, scan), await portal.user("bob@example.com")
    path = f"/api/tickets/{ticket}/intake"

    assert (await bob.get(path)).status_code == 400
    assert (await declare(bob, ticket, scan))[0] == 400


async def test_a_batch_is_kept_while_its_page_is_closed(
    portal: Portal, ann: Client, scan: Sent
) -> None:
    reading(portal)
    case = {"service": "lung-segmentation", "size_bytes": len(scan.data), "files": 1}
    cases = [{"key": "k1", "name": "A.nrrd", **case}, {"key": "k2", "name": "B.nrrd", **case}]
    assert await post(ann, "/api/batch", cases=json.dumps(cases)) == (200, "success")
    ticket = await send(ann, scan)
    cases[0]["ticket"] = ticket
    await post(ann, "/api/batch", cases=json.dumps(cases))
    await until(ann, ticket, "ready")

    async def listed(client: Client) -> list[tuple[str, str, int]]:
        rows = json.loads(await text(client, "/api/batch"))["result"]
        return [(row["name"], row["state"], row["ticket"]) for row in rows]

    assert await listed(ann) == [("A.nrrd", "ready", ticket), ("B.nrrd", "wanted", 0)]
    bob = await portal.user("bob@example.com")
    assert await listed(bob) == []
    assert "not yours" in (await post(bob, "/api/batch", cases=json.dumps(cases)))[1]
    assert await post(ann, "/api/batch/remove", keys='["k2"]') == (200, "success")
    assert len(await listed(ann)) == 1
