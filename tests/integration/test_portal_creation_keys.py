"""A ticket whose creation is requested again with the same Idempotency-Key is created once."""

import asyncio
from contextvars import ContextVar
from datetime import timedelta

import asyncpg
import httpx
import pytest

from dss_portal.admin import store as admin
from dss_portal.database import clock
from dss_portal.models import Service, Ticket, TicketKey, Tier
from dss_portal.tickets import creation_keys
from dss_portal.tickets.creation_keys import KeyCleaning
from support.layered import LUNGS, Asked, Both, shown
from support.portals import Portal, post, submitted_ticket

pytestmark = pytest.mark.stack

KEY = '"8e03978e-40d5-43e8-bc93-6894a57f9324"'


async def create(asked: Asked, key: str | None = KEY, **form: str) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await asked.client.post("/api/tickets", data=form or LUNGS, headers=headers)


async def test_the_same_key_gives_the_same_ticket_and_another_key_another(both: Both) -> None:
    first = await create(both.layers)
    again = [await create(both.layers), await create(both.bare)]
    other = await create(both.layers, '"another"')
    without = [await create(both.layers, None) for _ in range(2)]

    assert first.status_code == 200
    assert [shown(answer) for answer in again] == [shown(first)] * 2
    numbers = {int(each.text) for each in (first, other, *without)}
    assert len(numbers) == await Ticket.all().count() == 4
    assert both.layers.framework == []


async def test_a_service_is_named_by_its_hash_as_well(both: Both) -> None:
    first = await create(both.layers, githash=both.githash)

    assert (await create(both.bare, githash=both.githash)).text == first.text
    assert await Ticket.all().count() == 1


async def test_another_user_with_the_same_key_gets_another_ticket(
    both: Both, portal: Portal
) -> None:
    first = await create(both.layers)
    ann = await portal.user("ann@example.com")

    other = await ann.post("/api/tickets", form=LUNGS, headers={"Idempotency-Key": KEY})

    assert other.status_code == 200
    assert await other.get_data(as_text=True) != first.text


async def test_a_key_of_another_request_is_refused(both: Both) -> None:
    await create(both.layers)

    for asked in (both.layers, both.bare):
        refused = await create(asked, githash=both.githash)
        assert refused.status_code == 422
        assert refused.text == (
            "This Idempotency-Key was sent before with another request; each new ticket needs a new key."
        )
    assert await Ticket.all().count() == 1


@pytest.mark.parametrize(
    "key", ["", "bare", '""', '"open', '"a" ', '"a";q=1', '"é"', '"a"b"', f'"{"x" * 256}"']
)
async def test_a_key_that_is_no_string_in_quotes_is_refused(both: Both, key: str) -> None:
    for asked in (both.layers, both.bare):
        answer = await asked.client.post(
            "/api/tickets",
            data=LUNGS,
            headers=[(b"Idempotency-Key", key.encode("latin-1"))],
        )
        if key == '"a" ':  # blanks around a value do not belong to it
            assert answer.status_code == 200
            continue
        assert answer.status_code == 400
        assert answer.text == (
            "Idempotency-Key must be 1 to 255 printable ASCII characters in double quotes."
        )
    assert await Ticket.all().count() == (1 if key == '"a" ' else 0)


async def test_quotes_and_backslashes_of_a_key_are_escaped(both: Both) -> None:
    await create(both.layers, r'"a\"b\\c"')

    assert (await TicketKey.get()).key == 'a"b\\c'


async def test_of_requests_at_once_one_creates_the_ticket(both: Both) -> None:
    answers = await asyncio.gather(*(create(both.layers) for _ in range(16)))

    assert {answer.text for answer in answers} == {str((await Ticket.get()).id)}


async def test_the_ticket_is_given_although_no_other_one_would_be_created_now(
    both: Both, portal: Portal
) -> None:
    """The quota is full, and the service was removed."""
    await Tier.filter(name="guest").update(max_tickets=1)
    first = {"name": await create(both.layers, '"name"')}
    assert (await create(both.layers, '"more"')).status_code == 400
    await Tier.filter(name="guest").update(max_tickets=2)
    first["githash"] = await create(both.layers, '"githash"', githash=both.githash)
    again = {"name": LUNGS["name"], "githash": both.githash}

    for removed in (False, True):
        if removed:
            await admin.remove_service("dss", both.githash)
        for form, value in again.items():
            answer = await create(both.layers, f'"{form}"', **{form: value})
            assert (answer.status_code, answer.text) == (200, first[form].text)
        assert (await create(both.layers, '"more"')).status_code == 400
    assert await Ticket.all().count() == 2


async def test_a_key_is_kept_as_long_as_the_ticket_and_for_a_day_at_least(
    both: Both, portal: Portal
) -> None:
    kept, deleted, recent = [int((await create(both.layers, f'"{n}"')).text) for n in range(3)]
    for number in (deleted, recent):
        await both.layers.client.get(f"/api/tickets/{number}/delete")
    before = clock.now() - creation_keys.KEPT - timedelta(seconds=1)
    await TicketKey.filter(ticket_id__in=[kept, deleted]).update(created_at=before)

    await KeyCleaning().forget_old()

    again = [int((await create(both.layers, f'"{n}"')).text) for n in range(3)]
    assert [again[0], again[2]] == [kept, recent]
    assert again[1] not in {kept, deleted, recent}


async def test_keys_are_looked_at_in_batches_and_again_from_the_first(
    both: Both, portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(creation_keys, "BATCH", 2)
    numbers = [int((await create(both.layers, f'"{n}"')).text) for n in range(5)]
    before = clock.now() - creation_keys.KEPT - timedelta(seconds=1)
    await TicketKey.all().update(created_at=before)
    first, *_, last = numbers
    await both.layers.client.get(f"/api/tickets/{last}/delete")
    cleaning = KeyCleaning()

    left = []
    for _ in range(3):
        await cleaning.forget_old()
        left.append(await TicketKey.filter(ticket_id=last).count())
    await both.layers.client.get(f"/api/tickets/{first}/delete")
    await cleaning.forget_old()

    assert left == [1, 1, 0]
    assert await TicketKey.filter(ticket_id=first).count() == 0
    assert await TicketKey.all().count() == 3


@pytest.mark.parametrize("by_hash", [True, False])
async def test_a_key_costs_no_statement_more(
    both: Both, monkeypatch: pytest.MonkeyPatch, by_hash: bool
) -> None:
    form = {"githash": both.githash} if by_hash else LUNGS
    asked: ContextVar[list[str] | None] = ContextVar("asked", default=None)
    fetch = asyncpg.Connection.fetch

    async def counted(self: asyncpg.Connection, query: str, *values: object) -> object:
        if (seen := asked.get()) is not None:  # not a background task of the portal
            seen.append(query)
        return await fetch(self, query, *values)

    async def statements(key: str | None) -> int:
        seen: list[str] = []
        asked.set(seen)
        assert (await create(both.layers, key, **form)).status_code == 200
        asked.set(None)
        return len(seen)

    monkeypatch.setattr(asyncpg.Connection, "fetch", counted)
    await statements(None)  # the caller is known from now on
    without, new, known = [await statements(key) for key in (None, '"one"', '"one"')]

    assert without == new == known == (1 if by_hash else 2)


async def test_a_ticket_of_an_unchanged_client_leaves_no_key(portal: Portal) -> None:
    await portal.announce_service()
    ann = await portal.user()
    await submitted_ticket(ann)
    assert (await post(ann, "/api/tickets", githash=(await Service.get()).githash))[0] == 200

    assert await TicketKey.all().count() == 0
