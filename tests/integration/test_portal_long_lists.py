"""Long lists and logs: the same bytes as ever, and nobody has to wait for them."""

import asyncio
import json

import asyncpg
import pytest
from quart.typing import TestClientProtocol as Client

from dss_portal.models import Service, Status, Ticket, TicketLog, User
from support.portals import Portal, submitted_ticket, text
from support.probes import LATE_S, lateness_s

pytestmark = pytest.mark.stack

COUNT = 10_000

FILL = f"""
INSERT INTO ticket (user_id, service_id, status, created_at, queued_at, announced_at, announcements)
    SELECT $1, $2, CASE WHEN i % 2 = 0 THEN 'ready' ELSE 'success' END, now(), now(), now(), 1
    FROM generate_series(1, {COUNT}) AS i;
"""
HISTORY = """
INSERT INTO ticket_history (ticket_id, status, at)
    SELECT id, s.status, now() - s.minutes * interval '1 minute' FROM ticket,
        (VALUES ('init', 30), ('ready', 20), ('claimed', 10), ('success', 0)) AS s (status, minutes);
"""
USERS = f"""
INSERT INTO user_account (email, tier_id, created_at)
    SELECT 'user' || i || '@example.com', 'guest', now() FROM generate_series(1, {COUNT}) AS i
"""
LINES = """
INSERT INTO ticket_log (ticket_id, at, category, message)
    SELECT $1, now(), 'info', 'line ' || i || repeat(' x', $3) FROM generate_series(1, $2) AS i
"""


@pytest.fixture
async def root(portal: Portal) -> Client:
    """A sysadmin with 10,000 tickets, among 10,000 users."""
    await portal.announce_service()
    client = await portal.user("root@example.com", sysadmin=True)
    service, user = await Service.get(current=True), await User.get(email="root@example.com")
    await execute(portal, FILL, user.id, service.id)
    await execute(portal, HISTORY)
    await execute(portal, USERS)
    await execute(portal, "ANALYZE")
    return client


async def execute(portal: Portal, statement: str, *values: object) -> None:
    connection = await asyncpg.connect(portal.settings.database_url.get_secret_value())
    try:
        await connection.execute(statement, *values)
    finally:
        await connection.close()


PATHS = (
    "/api/admin/tickets",
    "/api/admin/tickets?format=json",
    "/api/tickets",
    "/api/tickets?format=json",
    "/admintickets",
    "/admin/users",
    "/admin",
    "/services",
    "/api/services/{githash}/stats",
)


async def test_four_long_lists_at_once_keep_nobody_waiting(root: Client) -> None:
    githash = (await Service.get(current=True)).githash
    worst_s: dict[str, float] = {}
    for path in PATHS:
        address = path.format(githash=githash)
        await text(root, address)  # what is loaded once
        async with lateness_s() as late:
            answers = await asyncio.gather(*(root.get(address) for _ in range(4)))
        assert [answer.status_code for answer in answers] == [200] * 4
        worst_s[path] = late.worst_s

    assert {path: late for path, late in worst_s.items() if late >= LATE_S} == {}


async def test_a_long_list_has_the_bytes_that_the_reference_writes(root: Client) -> None:
    tickets = await Ticket.all().order_by("id").values_list("id", "status")
    rows = [(i, "root@example.com", "lung-segmentation", Status(s).value, 30.0) for i, s in tickets]
    columns = ("id", "email", "service", "status", "duration")

    assert await text(root, "/api/admin/tickets?format=json") == json.dumps(
        {"result": [dict(zip(columns, row, strict=True)) for row in rows]}
    )
    assert await text(root, "/api/admin/tickets") == "".join(
        ",".join(map(str, row)) + "\r\n" for row in rows
    )


async def test_an_empty_list_is_what_it_was(portal: Portal) -> None:
    client = await portal.user("root@example.com", sysadmin=True)

    assert await text(client, "/api/admin/tickets") == ""
    assert await text(client, "/api/admin/tickets?format=json") == '{"result": []}'
    assert await text(client, "/api/tickets?format=json") == '{"result": []}'


@pytest.mark.parametrize(("lines", "repeats"), [(10_000, 20), (300, 30_000)])
async def test_a_long_log_keeps_nobody_waiting_and_has_its_bytes(
    portal: Portal, lines: int, repeats: int
) -> None:
    await portal.announce_service()
    client = await portal.user()
    ticket_id = await submitted_ticket(client)
    await execute(portal, LINES, ticket_id, lines, repeats)
    base = f"/api/tickets/{ticket_id}"

    async with lateness_s() as late:
        detail = json.loads(await text(client, f"{base}/detail"))["result"]
        listed = json.loads(await text(client, f"{base}/log?format=json"))["result"]
        rows = (await text(client, f"{base}/log")).split("\r\n")
        page = await text(client, f"/tickets/{ticket_id}")

    assert late.worst_s < LATE_S
    written = [line.message for line in await TicketLog.filter(ticket_id=ticket_id).order_by("id")]
    assert [line["message"] for line in detail["log"]] == written
    assert [line["message"] for line in listed] == written
    assert len(rows) == len(written) + 1
    assert list(detail) == ["status", "progress", "queue_position", "queue_reason", "log"]
    assert f"line {lines}" in page


async def test_a_user_among_many_is_found_on_the_page(root: Client) -> None:
    first = await text(root, "/admin/users")
    found = await text(root, "/admin/users?find=USER7777@")

    assert ("At most 200 users are shown" in first, "user7777@example.com" in first) == (
        True,
        False,
    )
    assert "user7777@example.com" in found
