"""Portals of release 0.1.0 work beside today's during an upgrade, and on the same datastore after a rollback."""

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from quart.typing import TestClientProtocol as Client

from dss_broker.messages import ClaimSucceeded, ResultFile
from dss_datastore import layout
from dss_portal.admin import store as admin
from dss_portal.models import Status, Ticket
from dss_portal.tickets import cleanup, store
from support.portals import Portal, eventually, post, send_file, submitted_ticket, text

pytestmark = pytest.mark.stack


async def done_by_dispatcher(portal: Portal, number: int) -> None:
    claim = (await portal.granted(number)).claim_id
    portal.write(layout.staging_dir(number, claim) / "seg.nii.gz", b"voxels")
    files = (ResultFile(name="seg.nii.gz", size_bytes=6, sha256=""),)
    await portal.tell(ClaimSucceeded(ticket_id=number, claim_id=claim, files=files))
    await eventually(lambda: Ticket.get(id=number), lambda t: t.status is Status.SUCCESS)


async def done_over_http(portal: Portal, number: int, status: str = "success") -> None:
    provider = await portal.user("pro@example.com")
    await admin.add_provider_user("dss", "pro@example.com", admin=False)
    githash = (await text(provider, "/api/pro/services")).split(",")[2]
    claims = f"/api/pro/services/{githash}/claims"
    assert await post(provider, claims, provider="dss", code="g") == (200, str(number))
    results = f"/api/pro/tickets/{number}/files/results"
    assert await send_file(provider, results, "seg.nii.gz", b"voxels") == (200, "success")
    assert (await post(provider, f"/api/pro/tickets/{number}/status", status=status))[0] == 200


@pytest.mark.parametrize("do", [done_by_dispatcher, done_over_http])
async def test_it_finds_results_and_removes_none_of_them(
    portal: Portal,
    ann: Client,
    monkeypatch: pytest.MonkeyPatch,
    do: Callable[[Portal, int], Awaitable[None]],
) -> None:
    monkeypatch.setitem(portal.settings.__dict__, "check_results", False)
    number = await submitted_ticket(ann)
    await do(portal, number)
    await cleanup.clean_all(portal.components.datastore, portal.settings)
    results = portal.datastore / layout.area_dir(number, "results")
    assert (results / "seg.nii.gz").read_bytes() == b"voxels"

    remove_what_no_row_names(results, {file.name for file in await store.files(number, "results")})

    assert await text(ann, f"/api/tickets/{number}/files/results/0") == "voxels"


def remove_what_no_row_names(results: Path, names: set[str]) -> None:
    """Do what that release does, a while later, for a ticket that has ended."""
    for path in results.glob("*"):
        if path.name not in names:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


async def test_a_retry_leaves_no_link_to_results_of_earlier_attempts(
    portal: Portal, ann: Client
) -> None:
    number = await submitted_ticket(ann)
    await done_over_http(portal, number, "failed")
    await cleanup.clean_up(portal.components.datastore, number)
    results = portal.datastore / layout.area_dir(number, "results")
    assert [path.name for path in results.iterdir()] == ["seg.nii.gz"]

    assert await text(ann, f"/api/tickets/{number}/retry") == "ready"

    assert not any(results.glob("*"))
