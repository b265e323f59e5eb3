"""Providers over connections that are cut: results and attachments by tus, fenced by the claim; nothing happens twice."""

import base64
import os
from pathlib import Path

import pytest
from quart import Response
from quart.typing import TestClientProtocol as Client

from dss_portal.admin import store as admin
from dss_portal.models import Attachment, Claim, ResumableUpload, TicketLog
from dss_portal.providers import uploads
from dss_portal.tickets import cleanup
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

TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture
async def provider(portal: Portal) -> Client:
    await portal.announce_service()
    client = await portal.user("pro@example.com")
    await admin.add_provider_user("dss", "pro@example.com", admin=False)
    return client


@pytest.fixture
async def githash(provider: Client) -> str:
    return (await text(provider, "/api/pro/services")).split(",")[2]


async def claim(provider: Client, githash: str, key: str = "") -> str:
    form = {"key": key} if key else {}
    path = f"/api/pro/services/{githash}/claims"
    status, answer = await post(provider, path, provider="dss", code="gpu1", **form)
    assert status == 200, answer
    return answer


@pytest.fixture
async def claimed(portal: Portal, provider: Client, githash: str) -> int:
    number = await submitted_ticket(await portal.user())
    assert await claim(provider, githash) == str(number)
    return number


def metadata(**values: str) -> str:
    return ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in values.items())


async def begin(client: Client, ticket: int, size_bytes: int, **values: str) -> Response:
    headers = {**TUS, "Upload-Length": str(size_bytes), "Upload-Metadata": metadata(**values)}
    return await client.post(f"/api/pro/tickets/{ticket}/uploads", headers=headers)


async def begun(client: Client, ticket: int, size_bytes: int, **values: str) -> str:
    answer = await begin(client, ticket, size_bytes, **values)
    assert answer.status_code == 201, await answer.get_data(as_text=True)
    return str(answer.headers["Location"])


async def add(client: Client, address: str, offset: int, data: bytes) -> Response:
    kind = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}
    return await client.patch(address, headers={**TUS, **kind}, data=data)


def parts(portal: Portal) -> list[Path]:
    return list(portal.datastore.rglob("*.part"))


async def test_a_result_in_two_requests_is_there_with_its_last_byte(
    portal: Portal, provider: Client, claimed: int
) -> None:
    data = os.urandom(1_000_000)
    address = await begun(provider, claimed, len(data), filename="a.nii.gz", area="results")

    assert (await add(provider, address, 0, data[:400_000])).status_code == 204
    assert await text(provider, f"/api/pro/tickets/{claimed}/files/results") == ""
    head = await provider.head(address, headers=TUS)
    assert head.headers["Upload-Offset"] == "400000"
    assert (await add(provider, address, 400_000, data[400_000:])).status_code == 204

    listed = f"/api/pro/tickets/{claimed}/files/results"
    assert await text(provider, listed) == "0,a.nii.gz\r\n"
    answer = await provider.get(f"{listed}/0")
    assert await answer.get_data(as_text=False) == data
    assert parts(portal) == []


async def test_an_attachment_is_adopted_once_however_often_its_end_is_told(
    portal: Portal, provider: Client, claimed: int
) -> None:
    values = {"area": "attachments", "desc": "A table", "mime_type": "text/csv"}
    address = await begun(provider, claimed, 4, filename="t.csv", **values)
    assert (await add(provider, address, 0, b"a,b\n")).status_code == 204
    assert (await provider.head(address, headers=TUS)).headers["Upload-Offset"] == "4"

    await post(provider, f"/api/pro/tickets/{claimed}/info", message="See there")

    (attached,) = await Attachment.all()
    assert (attached.description, attached.mime_type) == ("A table", "text/csv")
    assert attached.log_id == (await TicketLog.get(message="See there")).id
    assert parts(portal) == []


@pytest.mark.parametrize("area", ["results", "attachments"])
async def test_the_upload_of_a_lost_claim_is_refused_and_leaves_nothing(
    portal: Portal, provider: Client, claimed: int, githash: str, area: str
) -> None:
    """Another provider's process has the ticket by then, for the same user."""
    address = await begun(provider, claimed, 10, filename="a.nii.gz", area=area)
    await add(provider, address, 0, b"12345")
    await Claim.all().update(expires_at=LONG_AGO)
    await portal.sweep()
    await eventually(lambda: claim(provider, githash), lambda number: number == str(claimed))

    refused = await add(provider, address, 5, b"67890")

    assert refused.status_code == 400
    assert "has not been claimed by user" in await refused.get_data(as_text=True)
    assert await ResumableUpload.all().count() == await Attachment.all().count() == 0
    assert await text(provider, f"/api/pro/tickets/{claimed}/files/results") == ""
    assert parts(portal) == []


async def test_an_upload_whose_provider_never_comes_back_is_tidied_up(
    portal: Portal, provider: Client, claimed: int
) -> None:
    for area in ("results", "attachments"):
        address = await begun(provider, claimed, 10, filename="a.nii.gz", area=area)
        await add(provider, address, 0, b"12345")
    await post(provider, f"/api/pro/tickets/{claimed}/status", status="failed")

    await cleanup.clean_all(portal.components.datastore, portal.settings)

    assert await ResumableUpload.all().count() == 0
    assert parts(portal) == []


async def test_uploads_of_a_live_claim_are_not_tidied_up(
    portal: Portal, provider: Client, claimed: int
) -> None:
    address = await begun(provider, claimed, 10, filename="a.nii.gz")
    await add(provider, address, 0, b"12345")

    await cleanup.clean_all(portal.components.datastore, portal.settings)

    assert (await add(provider, address, 5, b"67890")).status_code == 204


async def test_a_provider_neither_sees_nor_ends_the_upload_of_a_user(
    portal: Portal, provider: Client, claimed: int
) -> None:
    ann = await portal.user()
    headers = {**TUS, "Upload-Length": "9", "Upload-Metadata": metadata(filename="a.raw")}
    mine = await ann.post(f"/api/tickets/{await new_ticket(ann)}/uploads", headers=headers)
    theirs = await begun(provider, claimed, 9, filename="a.nii.gz")

    name = mine.headers["Location"].rpartition("/")[2]
    assert (await add(provider, f"{theirs.rpartition('/')[0]}/{name}", 0, b"x")).status_code == 404
    across = theirs.replace("/pro/", "/")
    assert (await add(ann, across, 0, b"x")).status_code == 404
    assert await ResumableUpload.all().count() == 2


@pytest.mark.parametrize(
    "values",
    [
        {"filename": "a.nii.gz", "area": "input"},
        {"filename": "a:b", "area": "results"},
        {"filename": "A.NII.GZ", "area": "results"},
        {"filename": "t.csv", "area": "attachments", "desc": "a\0b"},
    ],
)
async def test_a_wrong_beginning_is_refused_in_a_sentence(
    provider: Client, claimed: int, values: dict[str, str]
) -> None:
    await send_file(provider, f"/api/pro/tickets/{claimed}/files/results", "a.nii.gz", b"x")

    answer = await begin(provider, claimed, 3, **values)

    assert answer.status_code == 400
    assert (await answer.get_data(as_text=True)).endswith((".", "one."))


async def test_a_provider_has_a_limited_number_of_unfinished_uploads(
    portal: Portal, provider: Client, claimed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MOST_UNFINISHED", 2)
    addresses = [await begun(provider, claimed, 3, filename=f"{n}.csv") for n in range(2)]

    refused = await begin(provider, claimed, 3, filename="more.csv")

    assert refused.status_code == 413
    said = await refused.get_data(as_text=True)
    assert said.startswith("2 uploads to this ticket are not finished, which is the most;")
    assert len(parts(portal)) == 2
    assert (await add(provider, addresses[0], 0, b"a,b")).status_code == 204
    await begun(provider, claimed, 3, filename="more.csv")


async def test_a_claim_whose_answer_was_lost_is_given_again(
    portal: Portal, provider: Client, githash: str
) -> None:
    ann = await portal.user()
    first, second = await submitted_ticket(ann), await submitted_ticket(ann)

    assert await claim(provider, githash, "0123456789") == str(first)
    assert await claim(provider, githash, "0123456789") == str(first)
    assert await claim(provider, githash, "9876543210") == str(second)
    assert await Claim.all().count() == 2
    await post(provider, f"/api/pro/tickets/{first}/status", status="failed")
    assert await claim(provider, githash, "0123456789") == "-1"


async def test_a_claim_that_is_given_again_has_its_whole_lease(
    portal: Portal, provider: Client, githash: str
) -> None:
    await submitted_ticket(await portal.user())
    await claim(provider, githash, "0123456789")
    await Claim.all().update(expires_at=LONG_AGO)

    await claim(provider, githash, "0123456789")

    assert (await Claim.get()).expires_at > LONG_AGO


async def test_another_user_of_the_provider_cannot_end_an_upload(
    portal: Portal, provider: Client, claimed: int, githash: str
) -> None:
    """That user has had the ticket before, and knows the address."""
    other = await portal.user("two@example.com")
    await admin.add_provider_user("dss", "two@example.com", admin=False)
    await Claim.all().update(expires_at=LONG_AGO)
    await portal.sweep()
    await eventually(lambda: claim(other, githash), lambda number: number == str(claimed))
    theirs = await begun(other, claimed, 9, filename="a.nii.gz")

    for answer in (
        await provider.delete(theirs, headers=TUS),
        await provider.head(theirs, headers=TUS),
        await add(provider, theirs, 0, b"x"),
    ):
        assert answer.status_code == 404
    assert (await add(other, theirs, 0, b"123456789")).status_code == 204


async def test_another_user_does_not_get_a_claim_by_its_key(
    portal: Portal, provider: Client, githash: str
) -> None:
    await submitted_ticket(await portal.user())
    await claim(provider, githash, "0123456789")
    other = await portal.user("two@example.com")
    await admin.add_provider_user("dss", "two@example.com", admin=False)

    assert await claim(other, githash, "0123456789") == "-1"


async def test_a_log_line_whose_answer_was_lost_is_not_added_twice(
    provider: Client, claimed: int
) -> None:
    path = f"/api/pro/tickets/{claimed}/info"

    answers = {await post(provider, path, message="Done", key="0123456789") for _ in range(3)}

    assert len(answers) == 1
    assert await TicketLog.filter(message="Done").count() == 1
    assert (await post(provider, path, message="Done", key="x"))[0] == 400
