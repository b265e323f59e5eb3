"""What was answered is on disk: files and their names before the commit that names them, and the commit itself."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from quart.typing import TestClientProtocol as Client

from support import provider_claims, tus
from support.databases import execute, number_from
from support.layered import LUNGS, Both
from support.layered import claimed as claim_of
from support.portals import Portal, new_ticket, send_file

pytestmark = pytest.mark.stack

githash = provider_claims.githash
provider = provider_claims.provider
claimed = provider_claims.claimed

NAME = "image.raw"
LARGE = os.urandom(3_000_000)
"""More than what is kept before the framework."""


@dataclass(frozen=True, kw_only=True)
class Flush:
    """An fsync that has ended: of which inode, how large it is, which inodes a folder holds by name, and how many committed
    rows name the file by then.
    """

    inode: int
    size_bytes: int
    names: dict[str, int]
    rows: int


@pytest.fixture
def flushes(monkeypatch: pytest.MonkeyPatch, database_url: str) -> list[Flush]:
    """All of the program's, as another connection to the database sees them."""
    found: list[Flush] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        fsync(descriptor)
        of = os.fstat(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        names = {entry.name: entry.inode() for entry in os.scandir(path)} if path.is_dir() else {}
        rows = _committed_rows(database_url)
        found.append(Flush(inode=of.st_ino, size_bytes=of.st_size, names=names, rows=rows))

    monkeypatch.setattr(os, "fsync", watched)
    return found


def _committed_rows(database_url: str) -> int:
    """Rows that name a file as large as LARGE.  In a thread, since the caller may be the portal's event loop."""
    statement = (
        f"SELECT (SELECT count(*) FROM ticket_file WHERE size_bytes = {len(LARGE)})"
        f" + (SELECT count(*) FROM attachment WHERE size_bytes = {len(LARGE)})"
    )
    answers: list[int] = []
    asking = threading.Thread(
        target=lambda: answers.append(asyncio.run(number_from(database_url, statement)))
    )
    asking.start()
    asking.join()
    return answers[0]


async def by_form(client: Client, path: str, **more: str) -> None:
    status, said = await send_file(client, path, NAME, LARGE, **more)
    assert status == 200, said


async def by_parts(client: Client, address: str) -> None:
    half = len(LARGE) // 2
    for start, piece in ((0, LARGE[:half]), (half, LARGE[half:])):
        assert (await tus.add(client, address, start, piece)).status_code == 204


async def input_by_form(portal: Portal, provider: Client, claimed: int) -> None:
    ann = await portal.user()
    await by_form(ann, f"/api/tickets/{await new_ticket(ann)}/files/input")


async def input_by_parts(portal: Portal, provider: Client, claimed: int) -> None:
    ann = await portal.user()
    await by_parts(ann, await tus.begun(ann, await new_ticket(ann), NAME, len(LARGE)))


async def result_by_form(portal: Portal, provider: Client, claimed: int) -> None:
    await by_form(provider, f"/api/pro/tickets/{claimed}/files/results")


async def attachment_by_form(portal: Portal, provider: Client, claimed: int) -> None:
    await by_form(provider, f"/api/pro/tickets/{claimed}/attachments", desc="A matrix")


@pytest.mark.parametrize(
    "send", [input_by_form, input_by_parts, result_by_form, attachment_by_form]
)
async def test_a_file_and_its_name_are_on_disk_before_the_commit_that_names_it(
    portal: Portal,
    provider: Client,
    claimed: int,
    flushes: list[Flush],
    send: Callable[[Portal, Client, int], Awaitable[None]],
) -> None:
    await send(portal, provider, claimed)

    (kept,) = [path for path in portal.datastore.rglob("*") if is_kept(path)]
    database_url = portal.settings.database_url.get_secret_value()
    assert _committed_rows(database_url) == 1
    inode, before = kept.stat().st_ino, [flush for flush in flushes if not flush.rows]
    whole = [i for i, f in enumerate(before) if (f.inode, f.size_bytes) == (inode, len(LARGE))]
    folder = kept.parent.stat().st_ino
    named = [
        i for i, f in enumerate(before) if f.inode == folder and f.names.get(kept.name) == inode
    ]
    assert whole
    assert named
    assert whole[0] < named[-1]


def is_kept(path: Path) -> bool:
    return path.is_file() and path.stat().st_size == len(LARGE) and path.read_bytes() == LARGE


# At the commit, after all other triggers.
_WATCH_COMMITS = """
CREATE TABLE seen (relation text, setting text);
CREATE FUNCTION note_commit() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    INSERT INTO seen VALUES (TG_TABLE_NAME, current_setting('synchronous_commit'));
    RETURN NULL;
END
$body$;
"""
PROMISES = ("ticket", "ticket_history", "ticket_file", "ticket_log", "ticket_progress", "claim")
"""Tables with what clients were told."""


async def test_every_commit_of_what_was_answered_waits_for_the_disk(
    both: Both, portal: Portal, database_url: str
) -> None:
    """Only the room that is reserved for an upload promises nothing; it shows that the setting is seen."""
    watch = [
        f"CREATE CONSTRAINT TRIGGER watched AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION note_commit();"
        for table in (*PROMISES, "upload")
    ]
    states = (
        "CREATE CONSTRAINT TRIGGER watched_state AFTER UPDATE ON ticket DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION note_commit();"
    )
    await execute(database_url, _WATCH_COMMITS + "".join(watch) + states)

    number = int((await both.layers.post("/api/tickets", **LUNGS)).text)
    for data in (b"small", LARGE):
        path, files = f"/api/tickets/{number}/files/input", {"myfile": (f"{len(data)}.raw", data)}
        assert (await both.layers.client.post(path, files=files)).text == "success"
    await both.layers.post(f"/api/tickets/{number}/status", status="ready")
    assert await claim_of(both.layers, both.githash) == number
    work = f"/api/pro/tickets/{number}"
    await both.layers.post(f"{work}/progress", chunk_start="0", chunk_end="1", progress="0.5")
    await both.layers.post(f"{work}/info", message="A line")

    async def seen(setting: str) -> int:
        return await number_from(database_url, f"SELECT count(*) FROM seen WHERE {setting}")

    for table in PROMISES:
        assert await seen(f"relation = '{table}' AND setting = 'on'"), table
    assert await seen("relation <> 'upload' AND setting <> 'on'") == 0
    assert await seen("relation = 'upload' AND setting = 'off'")
