"""External providers over HTTP: claims, work, attachments, results."""

import json
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest
from quart.typing import TestClientProtocol as Client
from werkzeug.datastructures import FileStorage

from dss_dispatch.result.check_requests import serve_checks
from dss_portal.database import clock
from dss_portal.models import Claim, Run
from support import provider_claims
from support.builders import result_files
from support.portals import LONG_AGO, Portal, eventually, post, send_file, text
from support.provider_claims import claim

pytestmark = pytest.mark.stack

githash = provider_claims.githash
provider = provider_claims.provider
claimed = provider_claims.claimed


async def test_a_provider_does_the_whole_work(
    portal: Portal, provider: Client, claimed: int
) -> None:
    base = f"/api/pro/tickets/{claimed}"

    assert await text(provider, f"{base}/files/input") == "0,a.itksnap\r\n"
    assert await text(provider, f"{base}/files/input/0") == "<registry/>"
    assert await post(provider, f"{base}/progress", chunk_start="0", chunk_end="1", progress="0.5")
    serve_checks(portal.broker, portal.settings.shared_datastore())
    await Claim.all().update(granted_at=clock.now() - timedelta(seconds=60))
    given = result_files()
    for name, data in given.items():
        assert await send_file(provider, f"{base}/files/results", name, data) == (200, "success")
    assert await post(provider, f"{base}/status", status="success") == (200, "success")

    (run,) = await Run.all()
    assert run.device == ""
    assert 60 <= run.seconds < 90

    ann = await portal.user()
    found = await text(ann, f"/api/tickets/{claimed}/files/results/2")
    assert found.encode() == given["result.itksnap"]
    detail = json.loads(await text(ann, f"/api/tickets/{claimed}/detail"))["result"]
    assert (detail["status"], detail["progress"]) == ("success", 1.0)


async def test_an_attachment_belongs_to_the_next_log_line_and_is_readable_by_link(
    portal: Portal, provider: Client, claimed: int
) -> None:
    file = FileStorage(BytesIO(b"\x89PNG"), filename="qc.png", content_type="image/png")
    answer = await provider.post(
        f"/api/pro/tickets/{claimed}/attachments",
        files={"myfile": file},
        form={"desc": "Quality, control", "mime_type": "image/png"},
    )
    assert answer.status_code == 200
    await post(provider, f"/api/pro/tickets/{claimed}/info", message="Look at this")

    ann = await portal.user()
    line = json.loads(await text(ann, f"/api/tickets/{claimed}/detail"))["result"]["log"][-1]
    attached = line["attachments"][0]
    assert (line["message"], attached["description"]) == ("Look at this", "Quality, control")
    assert (await text(ann, f"/api/tickets/{claimed}/log")).strip().endswith(",1,Look at this")
    rows = await text(ann, f"/api/tickets/logs/{line['id']}/attachments")
    assert rows == f'{attached["id"]},"Quality, control",image/png,{attached["url"]}\r\n'
    path = attached["url"].removeprefix(portal.settings.public_url)
    anybody = await portal.app.test_client().get(path)
    assert await anybody.get_data(as_text=False) == b"\x89PNG"
    assert anybody.headers["Content-Type"] == "image/png"


async def test_fields_may_come_before_the_file_as_the_python_client_sends_them(
    provider: Client, claimed: int
) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="desc"\r\n\r\nAn affine\r\n'
        b'--b\r\nContent-Disposition: form-data; name="myfile"; filename="a.mat"\r\n\r\n1 0\r\n'
        b"--b--\r\n"
    )

    answer = await provider.post(
        f"/api/pro/tickets/{claimed}/attachments",
        data=body,
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )

    assert answer.status_code == 200


async def test_uploaded_html_runs_nothing_on_our_origin(
    portal: Portal, provider: Client, claimed: int
) -> None:
    """The reference's weakness 23."""
    file = FileStorage(BytesIO(b"<script>alert(1)</script>"), filename="x.html")
    await provider.post(
        f"/api/pro/tickets/{claimed}/attachments",
        files={"myfile": file},
        form={"desc": "x", "mime_type": "text/html\r\nX: y"},
    )
    await post(provider, f"/api/pro/tickets/{claimed}/info", message="x")
    line = json.loads(await text(await portal.user(), f"/api/tickets/{claimed}/detail"))["result"][
        "log"
    ][-1]

    answer = await portal.app.test_client().get(
        line["attachments"][0]["url"].removeprefix(portal.settings.public_url)
    )

    assert answer.headers["Content-Security-Policy"].startswith("sandbox;")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_link_of_an_attachment_ends_with_its_ticket(
    portal: Portal, provider: Client, claimed: int
) -> None:
    """The reference's weakness 24."""
    file = FileStorage(BytesIO(b"x"), filename="x.txt")
    await provider.post(
        f"/api/pro/tickets/{claimed}/attachments", files={"myfile": file}, form={"desc": "x"}
    )
    await post(provider, f"/api/pro/tickets/{claimed}/info", message="x")
    ann = await portal.user()
    line = json.loads(await text(ann, f"/api/tickets/{claimed}/detail"))["result"]["log"][-1]
    path = line["attachments"][0]["url"].removeprefix(portal.settings.public_url)

    await text(ann, f"/api/tickets/{claimed}/delete")

    answer = await portal.app.test_client().get(path)
    assert answer.status_code == 400
    assert (await portal.app.test_client().get("/blobs/12345678")).status_code == 404


@pytest.mark.parametrize(
    ("path", "form", "sentence"),
    [
        ("status", {}, "Missing 'status' parameter"),
        ("status", {"status": "timeout"}, "Cannot set status of ticket to timeout"),
        ("info", {}, "Missing 'message' parameter"),
        ("progress", {"chunk_start": "0", "chunk_end": "1"}, "Missing 'progress' parameter"),
        (
            "progress",
            {"chunk_start": "0", "chunk_end": "1", "progress": "nan"},
            "'progress' must be a number from 0 to 1, not 'nan'.",
        ),
        ("attachments", {}, "The multipart form names no boundary."),
    ],
)
async def test_a_bad_request_is_a_sentence(
    provider: Client, claimed: int, path: str, form: dict[str, str], sentence: str
) -> None:
    assert await post(provider, f"/api/pro/tickets/{claimed}/{path}", **form) == (400, sentence)


async def test_a_finished_ticket_does_not_change_any_more(provider: Client, claimed: int) -> None:
    """The reference's weakness 12."""
    base = f"/api/pro/tickets/{claimed}"
    await post(provider, f"{base}/status", status="failed")

    status, sentence = await post(provider, f"{base}/status", status="success")
    assert status == 400
    assert sentence.startswith(f"Ticket {claimed} has not been claimed by user")
    assert (await post(provider, f"{base}/info", message="late"))[0] == 400
    assert (await send_file(provider, f"{base}/files/results", "late.nii", b"x"))[0] == 400
    assert await text(provider, f"{base}/status") == "failed"


async def test_a_deleted_ticket_tells_the_provider_so(
    portal: Portal, provider: Client, claimed: int
) -> None:
    await text(await portal.user(), f"/api/tickets/{claimed}/delete")

    assert await text(provider, f"/api/pro/tickets/{claimed}/status") == "deleted"
    assert await post(provider, f"/api/pro/tickets/{claimed}/info", message="x") == (
        400,
        f"Ticket {claimed} has been deleted ",
    )


async def test_reading_the_status_keeps_the_claim_alive(
    portal: Portal, provider: Client, claimed: int
) -> None:
    await Claim.filter(ticket_id=claimed).update(expires_at=datetime(2020, 1, 1, tzinfo=UTC))

    await text(provider, f"/api/pro/tickets/{claimed}/status")

    assert await portal.sweep() == 0


async def test_a_retried_ticket_begins_anew(
    portal: Portal, provider: Client, claimed: int, githash: str
) -> None:
    base = f"/api/pro/tickets/{claimed}"
    await post(provider, f"{base}/progress", chunk_start="0", chunk_end="1", progress="0.5")
    await send_file(provider, f"{base}/files/results", "half.nii", b"x")
    await post(provider, f"{base}/status", status="failed")
    ann = await portal.user()

    assert await text(ann, f"/api/tickets/{claimed}/retry") == "ready"

    assert await text(ann, f"/api/tickets/{claimed}/progress") == "0.0"
    assert await text(ann, f"/api/tickets/{claimed}/files/results") == ""
    assert "Retrying ticket" in await text(ann, f"/api/tickets/{claimed}/log")
    assert await claim(provider, githash) == str(claimed)
    again = await text(ann, f"/api/tickets/{claimed}/retry")
    assert again.startswith(f"Ticket {claimed} not found for user")


async def test_what_a_provider_sent_before_it_lost_its_claim_is_not_among_the_next_ones_results(
    portal: Portal, provider: Client, claimed: int, githash: str
) -> None:
    base = f"/api/pro/tickets/{claimed}"
    await send_file(provider, f"{base}/files/results", "half.itksnap", b"x")
    await Claim.filter(ticket_id=claimed).update(expires_at=LONG_AGO)
    await portal.sweep()
    ann = await portal.user()
    await eventually(
        lambda: text(ann, f"/api/tickets/{claimed}/status"), lambda now: now == "ready"
    )

    assert await claim(provider, githash) == str(claimed)
    serve_checks(portal.broker, portal.settings.shared_datastore())
    given = result_files()
    for name, data in given.items():
        await send_file(provider, f"{base}/files/results", name, data)
    assert await post(provider, f"{base}/status", status="success") == (200, "success")

    listed = "".join(f"{i},{name}\r\n" for i, name in enumerate(given))
    assert await text(ann, f"/api/tickets/{claimed}/files/results") == listed
