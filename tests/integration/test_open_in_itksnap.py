"""ITK-SNAP opens a result from a link: its client as its source says it (ImageIORemote, RESTClient)."""

import re
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from quart.typing import TestClientProtocol as Client

from dss_broker.messages import ClaimSucceeded, ResultFile
from dss_datastore import layout
from dss_portal.database import clock
from dss_portal.models import Opening, Status, Ticket
from dss_portal.result_links import store as result_links
from dss_workspace.layers import layer_folders
from dss_workspace.registry import parse
from support.portals import DATASTORES, Portal, eventually, post, submitted_ticket, text

pytestmark = [pytest.mark.stack, DATASTORES]

VOXELS = b"voxels" * 20_000


def _workspace(number: int) -> bytes:
    place = f"/dss/tickets/{number:08d}"
    layers = "".join(
        f'<folder key="Layer[{i:03d}]"><entry key="Role" value="{role}"/>'
        f'<entry key="AbsolutePath" value="{place}/{name}"/></folder>'
        for i, (role, name) in enumerate(
            [("MainRole", "ct.nii.gz"), ("SegmentationRole", "seg_lungs.nii.gz")]
        )
    )
    return (
        f'<registry><entry key="SaveLocation" value="{place}"/>'
        f'<folder key="Layers">{layers}</folder></registry>'
    ).encode()


@dataclass
class ItkSnap:
    """GETs what a link names and what lies beside it; keeps what it got, with ETag and Last-Modified.

    No cookie, no header of ours, no redirect; a status other than 200 or 304 is an error.
    """

    portal: Portal
    kept: dict[str, tuple[dict[str, str], bytes]] = field(default_factory=dict)
    moved_bytes: int = 0

    async def open(self, link: str) -> dict[str, bytes]:
        """The files of the workspace by name.  ``link`` passes through a printf, and then a buffer."""
        assert "%" not in link
        assert len(link) <= 4095
        assert link.endswith(".itksnap")
        url = link.removeprefix("itksnap-")
        workspace = await self._get(url)
        registry = parse(workspace)
        found = {url.rpartition("/")[2]: workspace}
        for layer in layer_folders(registry).values():
            inside = layer.get("AbsolutePath").removeprefix(f"{registry.get('SaveLocation')}/")
            found[inside] = await self._get(f"{url.rpartition('/')[0]}/{inside}")
        return found

    async def _get(self, url: str) -> bytes:
        known, content = self.kept.get(url, ({}, b""))
        conditions = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}
        headers = {conditions[name]: value for name, value in known.items()}
        path = url.removeprefix(self.portal.settings.public_url.rstrip("/"))
        answer = await self.portal.app.test_client(use_cookies=False).get(path, headers=headers)
        if answer.status_code not in {200, 304}:
            raise ConnectionError(answer.status_code)
        body = await answer.get_data(as_text=False)
        self.moved_bytes += len(body)
        if answer.status_code == 200:
            content = body
            kept = {name: answer.headers[name] for name in conditions if name in answer.headers}
            self.kept[url] = kept, content
        return content


async def _done(portal: Portal, ann: Client, segmentation: str = "seg_lungs.nii.gz") -> int:
    number = await submitted_ticket(ann)
    granted = await portal.granted(number)
    folder = layout.staging_dir(number, granted.claim_id)
    contents = {"w.itksnap": _workspace(number), "ct.nii.gz": VOXELS, segmentation: b"labels" * 9}
    for name, content in contents.items():
        portal.write(folder / name, content)
    files = tuple(
        ResultFile(name=name, size_bytes=len(content), sha256="")
        for name, content in contents.items()
    )
    await portal.tell(ClaimSucceeded(ticket_id=number, claim_id=granted.claim_id, files=files))
    await eventually(lambda: Ticket.get(id=number), lambda t: t.status is Status.SUCCESS)
    return number


async def _form(client: Client, path: str) -> tuple[int, str]:
    found = re.search(r'name="form_token" value="([^"]+)"', await text(client, "/token"))
    assert found is not None
    return await post(client, path, form_token=found[1])


async def _link(client: Client, number: int) -> str:
    status, page = await _form(client, f"/tickets/{number}/open")
    found = re.search(r'href="(itksnap-[^"]+)"', page)
    assert status == 200, page
    assert found is not None, page
    return found[1]


async def test_a_link_opens_the_workspace_with_its_files(portal: Portal, ann: Client) -> None:
    number = await _done(portal, ann)

    found = await ItkSnap(portal).open(await _link(ann, number))

    assert found == {
        "w.itksnap": _workspace(number),
        "ct.nii.gz": VOXELS,
        "seg_lungs.nii.gz": b"labels" * 9,
    }


async def test_the_second_opening_moves_less_than_a_hundredth(portal: Portal, ann: Client) -> None:
    link = await _link(ann, await _done(portal, ann))
    snap = ItkSnap(portal)
    first = await snap.open(link)
    moved_before = snap.moved_bytes

    assert await snap.open(link) == first

    assert snap.moved_bytes - moved_before < 0.01 * moved_before


async def test_a_link_opens_this_tickets_results_alone(portal: Portal, ann: Client) -> None:
    link = await _link(ann, await _done(portal, ann))
    folder = link.rpartition("/")[0]
    snap = ItkSnap(portal)

    for name in ("a.itksnap", "..", "../input/a.itksnap", "other.itksnap"):
        with pytest.raises(ConnectionError, match="404"):
            await snap._get(f"{folder.removeprefix('itksnap-')}/{name}")
    assert len(folder.rpartition("/")[2]) * 4 >= 128
    assert folder.rpartition("/")[2] not in [o.sha256 for o in await Opening.all()]


async def _delete(portal: Portal, ann: Client, number: int) -> None:
    await ann.get(f"/api/tickets/{number}/delete")


async def _end(portal: Portal, ann: Client, number: int) -> None:
    assert (await _form(ann, f"/tickets/{number}/close"))[0] == 303


async def _expire(portal: Portal, ann: Client, number: int) -> None:
    await Opening.all().update(expires_at=clock.now() - timedelta(seconds=1))


async def _make_anew(portal: Portal, ann: Client, number: int) -> None:
    await _link(ann, number)


@pytest.mark.parametrize("how", [_delete, _end, _expire, _make_anew])
async def test_a_link_ends(portal: Portal, ann: Client, how: object) -> None:
    number = await _done(portal, ann)
    link = await _link(ann, number)
    assert callable(how)

    await how(portal, ann, number)

    with pytest.raises(ConnectionError, match="404"):
        await ItkSnap(portal).open(link)


async def test_a_link_lives_for_a_day(portal: Portal, ann: Client) -> None:
    number = await _done(portal, ann)
    before = clock.now()

    await _link(ann, number)

    life = (await Opening.get()).expires_at - before
    assert timedelta(hours=24) <= life < timedelta(hours=24, minutes=5)


async def test_what_has_expired_is_forgotten(portal: Portal, ann: Client) -> None:
    number = await _done(portal, ann)
    await _link(ann, number)
    await _expire(portal, ann, number)

    await result_links.forget_expired()

    assert await Opening.all().count() == 0


async def test_names_that_no_link_can_have_are_told(portal: Portal, ann: Client) -> None:
    number = await _done(portal, ann, "50 % lungs.nii.gz")

    status, page = await _form(ann, f"/tickets/{number}/open")

    assert (status, result_links.NO_NAME.split(";")[0] in page.replace("&#39;", "'")) == (400, True)


async def test_nobody_else_makes_or_ends_a_link(portal: Portal, ann: Client) -> None:
    number = await _done(portal, ann)
    link = await _link(ann, number)
    bob = await portal.user("bob@example.com")

    assert (await _form(bob, f"/tickets/{number}/open"))[0] == 404
    assert (await _form(bob, f"/tickets/{number}/close"))[0] == 404
    assert len(await ItkSnap(portal).open(link)) == 3
