"""Small writes are answered before the framework, to the byte as it would, and refused by it."""

import asyncio
from typing import Any

import pytest
from tortoise.connection import get_connection

from dss_portal.app import served
from dss_portal.models import Ticket, TicketLog
from dss_portal.settings import Settings
from dss_portal.writes import answering
from dss_portal.writes.requests import Kind
from support.layered import LUNGS, Both, claimed, scope_of, shown
from support.portals import Portal, submitted_ticket

pytestmark = pytest.mark.stack


async def test_a_whole_ticket_needs_the_framework_for_its_files_only(both: Both) -> None:
    layers = both.layers
    created = await layers.post("/api/tickets", githash=both.githash)
    number = int(created.text)
    submitted = await layers.post(f"/api/tickets/{number}/status", status="ready")
    claim = await layers.post(
        "/api/pro/services/claims", services=both.githash, provider="dss", code="one"
    )
    path = f"/api/pro/tickets/{number}"
    done = await layers.post(f"{path}/progress", chunk_start="0", chunk_end="1", progress="0.5")
    line = await layers.post(f"{path}/info", message="100% done, é")

    assert layers.framework == []
    assert submitted.text == "ready"
    assert claim.text == f"{number},{both.githash},claimed\r\n"
    assert claim.headers["content-type"] == "text/csv"
    assert done.text == "success"
    assert (await TicketLog.get(id=int(line.text))).message == "100% done, é"
    assert created.headers["x-request-id"] != line.headers["x-request-id"]


async def test_the_answers_are_those_of_the_framework(both: Both) -> None:
    for _ in range(2):
        answers = []
        for who in (both.layers, both.bare):
            number = int((await who.post("/api/tickets", **LUNGS)).text)
            ready = await who.post(f"/api/tickets/{number}/status", status="ready")
            assert await claimed(who, both.githash) == number
            path = f"/api/pro/tickets/{number}/progress"
            done = await who.post(path, chunk_start="0", chunk_end="1", progress="0.5")
            none = await who.post(f"/api/pro/services/{both.githash}/claims", provider="dss")
            nothing = await who.post(
                "/api/pro/services/claims", services=both.githash, provider="dss"
            )
            answers.append([shown(answer) for answer in (ready, done, none, nothing)])

        assert answers[0] == answers[1]
        assert answers[0][2][2:] == (b"-1",)


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/api/tickets", {"name": "no such service"}),
        ("/api/tickets", {"githash": "0" * 40}),
        ("/api/tickets", {}),
        ("/api/tickets/{number}/status", {"status": "success"}),
        ("/api/tickets/{number}/status", {"status": "ready"}),
        ("/api/tickets/{number}/status", {}),
        ("/api/tickets/999999/status", {"status": "ready"}),
        ("/api/pro/tickets/{number}/info", {"message": "not claimed"}),
        ("/api/pro/tickets/{number}/info", {}),
        ("/api/pro/tickets/{number}/progress", {"chunk_start": "0"}),
        ("/api/pro/tickets/{number}/progress", {"chunk_start": "0", "chunk_end": "2"}),
        ("/api/pro/services/{githash}/claims", {}),
        ("/api/pro/services/{githash}/claims", {"provider": "other"}),
        ("/api/pro/services/claims", {"provider": "dss"}),
        ("/api/pro/services/claims", {"provider": "dss", "services": "0000"}),
        ("/api/tickets", {"name": "null \0"}),
        ("/api/tickets", {"name": "x" * 70_000}),
    ],
)
async def test_refusals_are_those_of_the_framework(
    both: Both, portal: Portal, path: str, form: dict[str, str]
) -> None:
    number = await submitted_ticket(await portal.user("pro@example.com"))
    path = path.format(number=number, githash=both.githash)

    before, bare = await both.layers.post(path, **form), await both.bare.post(path, **form)

    assert shown(before) == shown(bare)
    assert before.status_code in {400, 401, 413}
    assert both.layers.framework == [path]


async def test_a_browser_and_a_stranger_are_the_frameworks(both: Both) -> None:
    for headers in ({"Origin": "https://elsewhere.example"}, {"Cookie": ""}, {"Cookie": "x=1"}):
        answers = [
            await who.client.post("/api/tickets", data=LUNGS, headers=headers)
            for who in (both.layers, both.bare)
        ]
        assert shown(answers[0]) == shown(answers[1])
        assert answers[0].status_code in {401, 403}
    assert await Ticket.all().count() == 0


async def test_an_error_while_it_writes_is_answered_and_nothing_is_written_twice(
    both: Both,
) -> None:
    """A trigger counts the attempts: a sequence is not rolled back."""
    connection = get_connection("default")
    await connection.execute_script(
        """
        CREATE SEQUENCE attempts;
        CREATE FUNCTION break() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM nextval('attempts'); RAISE EXCEPTION 'broken'; END $$;
        CREATE TRIGGER break BEFORE INSERT ON ticket_log EXECUTE FUNCTION break();
        """
    )
    try:
        number = int((await both.layers.post("/api/tickets", **LUNGS)).text)
        answer = await both.layers.post(f"/api/tickets/{number}/status", status="ready")
        (row,) = await connection.execute_query_dict("SELECT last_value FROM attempts")
    finally:
        await connection.execute_script("DROP FUNCTION break CASCADE; DROP SEQUENCE attempts")

    assert answer.status_code == 500
    assert answer.text == "internal server error"
    assert row["last_value"] == 1
    assert (await Ticket.get(id=number)).status == "init"


async def test_a_form_that_comes_slowly_is_read_by_the_framework_to_its_end(
    portal: Portal, both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "BODY_TIMEOUT_S", 0.01)
    received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    sent: list[dict[str, Any]] = []

    async def framework(scope: Any, receive: Any, send: Any) -> None:
        received.put_nowait({"type": "http.request", "body": b"segmentation", "more_body": False})
        await portal.framework(scope, receive, send)

    async def send(event: Any) -> None:
        sent.append(event)

    received.put_nowait({"type": "http.request", "body": b"name=lung-", "more_body": True})
    cookie = both.layers.client.headers["Cookie"]
    scope = scope_of("/api/tickets", {"Host": "localhost", "Cookie": cookie})
    layers: Any = served(portal.app, framework=framework)
    await layers(scope, received.get, send)

    assert sent[0]["status"] == 200
    assert (await Ticket.get()).id == int(sent[1]["body"])


class TestLimited:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"requests_per_minute": 6})

    async def test_each_write_counts_once_and_one_too_many_writes_nothing(self, both: Both) -> None:
        answers = [await both.layers.post("/api/tickets", **LUNGS) for _ in range(8)]

        assert [answer.status_code for answer in answers] == [200] * 6 + [429] * 2
        assert await Ticket.all().count() == 6

    async def test_of_many_at_once_those_too_many_write_nothing(self, both: Both) -> None:
        answers = await asyncio.gather(
            *(both.layers.post("/api/tickets", **LUNGS) for _ in range(12))
        )

        assert sorted(answer.status_code for answer in answers) == [200] * 6 + [429] * 6
        assert await Ticket.all().count() == 6

    async def test_a_refused_write_counts_once(self, both: Both) -> None:
        answers = [await both.layers.post("/api/tickets", name="none") for _ in range(7)]

        assert [answer.status_code for answer in answers] == [400] * 6 + [429]


def test_each_kind_is_counted_under_a_route_of_the_framework(portal: Portal) -> None:
    rules = {
        rule.rule for rule in portal.app.url_map.iter_rules() if "POST" in (rule.methods or ())
    }

    assert {kind.value for kind in Kind} <= rules
