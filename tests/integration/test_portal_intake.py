# mypy: allow-untyped-calls
"""Uploads of a browser: another program reads them, and the ticket is queued by itself, once, whatever is killed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from quart.typing import TestClientProtocol as Client

from dss_broker.broker import Delivery
from dss_broker.topology import UPLOADS
from dss_datastore import layout
from dss_dispatch.service import service_from
from dss_dispatch.submission.reading import read_submission
from dss_portal.intake import placing, rounds
from dss_portal.models import Dispatcher, Status, Ticket, Tier
from dss_portal.services.liveness import SENTENCES, MissingProgram
from dss_portal.tickets import cleanup
from support import intake_tickets
from support.builders import service_json
from support.dicom_uploads import two_series
from support.intake_tickets import inputs, on_disk, owned
from support.intakes import LETTER, Sent, declare, reading, send, sentence, status, until, upload
from support.portals import (
    DATASTORES,
    Portal,
    eventually,
    new_ticket,
    post,
    submitted_ticket,
    text,
)

pytestmark = pytest.mark.stack

TAG = {"name": "CT", "type": "MainImage", "required": True}

scan = intake_tickets.scan


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


@DATASTORES
async def test_a_file_that_was_replaced_is_read_as_it_was_sent_last(
    portal: Portal, ann: Client, scan: Sent
) -> None:
    reading(portal)
    ticket = await send(ann, Sent(name=scan.name, data=b"no image"))
    await until(ann, ticket, "refused")
    longer = Sent(name=scan.name, data=scan.data + b"\n")

    for sent in (scan, longer):  # the first is not read: the other is announced
        assert await declare(ann, ticket, longer) == (200, "success")
        await upload(ann, ticket, sent)
    await until(ann, ticket, "ready")

    assert len(await inputs(ann, ticket)) == 2


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
    assert reason in await text(ann, "/tickets")
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

    async def look() -> str:
        await rounds.run_once(portal.components.datastore, portal.settings)
        return await status(ann, ticket)

    await eventually(look, lambda found: found == "ready")


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
    await rounds.run_once(portal.components.datastore, portal.settings)

    assert await status(ann, second) == "ready"


@pytest.mark.parametrize("status_of_first", [Status.DELETED, Status.FAILED])
async def test_series_get_their_files_though_the_first_ticket_is_over(
    portal: Portal,
    ann: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status_of_first: Status,
) -> None:
    async def later(*_: object) -> bool:
        return False

    with monkeypatch.context() as patched:
        patched.setattr(placing, "continue_ticket", later)
        reading(portal)
        tar = Sent(name="main.tar", data=two_series(tmp_path))
        first = await send(ann, tar, series="each")
        second = (await eventually(lambda: owned(ann), lambda found: len(found) == 2))[1]
    if status_of_first is Status.DELETED:
        await ann.get(f"/api/tickets/{first}/delete")
    else:
        await Ticket.filter(id=first).update(status=status_of_first)
        assert not await cleanup.clean_up(portal.components.datastore, first)

    await rounds.run_once(portal.components.datastore, portal.settings)

    assert await status(ann, second) == "ready"
    assert await cleanup.clean_up(portal.components.datastore, first)
    assert not [path for path in on_disk(portal, first) if "read" in path]


@DATASTORES
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
    await rounds.run_once(portal.components.datastore, portal.settings)
    assert await status(ann, ticket) == "init"
    await upload(ann, ticket, files[1])
    await rounds.run_once(portal.components.datastore, portal.settings)

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


async def test_a_batch_says_why_a_ticket_waits_and_what_the_algorithm_thinks_of_a_result(
    portal: Portal, ann: Client
) -> None:
    done, waiting = [await submitted_ticket(ann) for _ in range(2)]
    await Ticket.filter(id=done).update(status=Status.SUCCESS, verdict="look at it")
    case = {"service": "lung-segmentation", "size_bytes": 11, "files": 1}
    cases = [{"key": f"k{n}", "name": f"{n}.nrrd", "ticket": n, **case} for n in (done, waiting)]
    await post(ann, "/api/batch", cases=json.dumps(cases))

    async def told() -> list[tuple[str, str]]:
        rows = json.loads(await text(ann, "/api/batch"))["result"]
        return [(row["verdict"], row["sentence"]) for row in rows]

    assert await told() == [("look at it", ""), ("", "")]
    await Dispatcher.all().update(ended=True)
    assert await told() == [("look at it", ""), ("", SENTENCES[MissingProgram.DISPATCHER])]
