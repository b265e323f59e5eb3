"""Whose ticket is next: users take turns, and everybody who asks or looks sees the same order."""

import json
import random
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from tortoise.transactions import in_transaction

from dss_broker.messages import ClaimGranted
from dss_portal.accounts import store as accounts
from dss_portal.models import Service, Status, Ticket, Tier, Turn, User
from dss_portal.tickets import claims, queue, queue_places
from dss_portal.tickets.granting import Claimant
from support.portals import Portal, text
from support.queued import START, waiting

pytestmark = pytest.mark.stack


@pytest.fixture
async def service(portal: Portal) -> Service:
    await portal.announce_service()
    return await Service.get(name="lung-segmentation")


async def given_out(portal: Portal, count: int) -> list[str]:
    """E-mail addresses of who gets the next turns when one dispatcher does one ticket after another."""
    owners = []
    for _ in range(count):
        answer = await portal.claim(0, uuid.uuid4().hex)
        assert isinstance(answer, ClaimGranted)
        ticket = await Ticket.get(id=answer.ticket_id).select_related("user")
        await Ticket.filter(id=ticket.id).update(status=Status.SUCCESS)
        owners.append(ticket.user.email[:3])
    return owners


async def order(service: Service) -> list[int]:
    """The waiting tickets by the place that their users are shown."""
    tickets = await Ticket.filter(service__name=service.name, status=Status.READY)
    places = {ticket.id: await queue_places.position(ticket) for ticket in tickets}
    assert sorted(places.values()) == list(range(1, len(places) + 1))
    return sorted(places, key=lambda ticket_id: places[ticket_id])


async def test_200_tickets_of_one_user_do_not_starve_another(
    portal: Portal, service: Service
) -> None:
    ann = await accounts.save_user("ann@example.com")
    bob = await accounts.save_user("bob@example.com")
    for n in range(200):
        await waiting(service, ann, n / 100)
    await given_out(portal, 3)

    last = await waiting(service, bob)

    assert await queue_places.position(await Ticket.get(id=last)) <= 2
    assert "bob" in await given_out(portal, 2)


async def test_users_take_turns(portal: Portal, service: Service) -> None:
    for minute, email in enumerate(["ann"] * 4 + ["bob"] * 3 + ["cyd"]):
        await waiting(service, await accounts.save_user(f"{email}@example.com"), minute)

    owners = await given_out(portal, 8)

    assert owners == ["ann", "bob", "cyd", "ann", "bob", "ann", "bob", "ann"]


async def test_a_user_with_one_ticket_at_a_time_is_served_by_how_long_it_waits(
    portal: Portal, service: Service
) -> None:
    """No order by name, number or habit: the user who came first is first, if nobody had more than one."""
    for email in ("cyd", "ann", "bob"):
        await waiting(service, await accounts.save_user(f"{email}@example.com"), 0)

    assert await given_out(portal, 3) == ["cyd", "ann", "bob"]


async def test_a_tier_with_priority_counts_as_if_it_had_come_earlier(
    portal: Portal, service: Service
) -> None:
    await Tier.filter(name="poweruser").update(priority_minutes=60)
    ann = await accounts.save_user("ann@example.com")
    bob = await accounts.save_user("bob@example.com", tier="poweruser")
    cyd = await accounts.save_user("cyd@example.com", tier="poweruser")
    await waiting(service, cyd, 61)
    await waiting(service, ann, 0)
    await waiting(service, bob, 59)

    assert await given_out(portal, 3) == ["bob", "ann", "cyd"]


async def test_priority_holds_others_up_for_its_minutes_only(
    portal: Portal, service: Service
) -> None:
    """Ann waits since a moment ago; the other's turns come 30 minutes "earlier", again and again."""
    await Tier.filter(name="poweruser").update(priority_minutes=30)
    ann = await accounts.save_user("ann@example.com")
    bob = await accounts.save_user("bob@example.com", tier="poweruser")
    for _ in range(9):
        await waiting(service, bob, 0)
    patient = await waiting(service, ann)
    assert await given_out(portal, 3) == ["bob"] * 3

    await Ticket.filter(id=patient).update(queued_at=datetime.now(UTC) - timedelta(minutes=31))

    assert await given_out(portal, 1) == ["ann"]


async def test_a_ticket_that_was_given_back_is_not_sent_to_the_end(
    portal: Portal, service: Service
) -> None:
    ann = await accounts.save_user("ann@example.com")
    await waiting(service, ann, 0)
    await given_out(portal, 1)
    lost = await waiting(service, ann, 1, attempt=2)
    for minute, email in enumerate(("bob", "cyd"), start=2):
        await waiting(service, await accounts.save_user(f"{email}@example.com"), minute)

    assert (await order(service))[0] == lost


async def test_another_service_is_another_queue(portal: Portal, service: Service) -> None:
    await portal.announce_service(name="other")
    other = await Service.get(name="other")
    ann = await accounts.save_user("ann@example.com")
    for minute in range(5):
        await waiting(other, ann, minute)
    mine = await waiting(service, ann, 10)

    place = await queue_places.place(await Ticket.get(id=mine))

    assert place is not None
    assert (place.number, place.reason) == (1, "No other ticket comes before it.")


async def test_an_older_version_of_a_service_waits_in_the_same_queue(
    portal: Portal, service: Service
) -> None:
    """They share the dispatchers, whose queue has the service's name."""
    ann = await accounts.save_user("ann@example.com")
    old = await waiting(service, ann, 0)
    await portal.announce_service(longdesc="Newer.")
    newer = await Service.get(name="lung-segmentation", current=True)
    assert newer.id != service.id
    new = await waiting(newer, ann, 1)

    assert await queue_places.position(await Ticket.get(id=new)) == 2
    assert (await portal.granted(new)).ticket_id == old


async def test_the_place_says_why(portal: Portal, service: Service) -> None:
    client = await portal.user("ann@example.com")
    ann = await accounts.user_named("ann@example.com")
    bob = await accounts.save_user("bob@example.com")
    await waiting(service, ann, 0)
    second = await waiting(service, ann, 1)
    await waiting(service, bob, 2)

    found = json.loads(await text(client, f"/api/tickets/{second}/detail"))["result"]

    assert found["queue_position"] == 3
    assert found["queue_reason"] == (
        "Before this ticket come 1 of your own and 1 of other users, "
        "1 of which came later (users take turns)."
    )
    assert await text(client, f"/api/tickets/{second}/queuepos") == "3"


async def listed_order(users: list[User], model: "list[Model]") -> list[int]:
    """The waiting tickets by the place that the users' lists show."""
    found: dict[int, int] = {}
    for user in users:
        own = [t.id for t in model if t.user == user.id]
        found |= await queue_places.places({"lung-segmentation": own, "another": own})
    assert sorted(found.values()) == list(range(1, len(model) + 1))
    return sorted(found, key=lambda ticket_id: found[ticket_id])


async def next_of(version: Service) -> int | None:
    """The ticket that a provider of only this version of the service would be granted."""
    async with in_transaction():
        await queue.serialise([version.name])
        ticket = await queue.lock_next([version.name], [version.id])
    return None if ticket is None else ticket.id


@dataclass(frozen=True, kw_only=True)
class Model:
    """A waiting ticket, for an order that is written down a second time, in Python."""

    id: int
    user: int
    came: datetime
    served: datetime | None
    ahead: timedelta
    attempt: int
    is_new: bool


def in_order(tickets: list[Model]) -> list[int]:
    seen: Counter[int] = Counter()
    keys = {}
    for t in sorted(tickets, key=lambda t: (t.came, t.id)):
        seen[t.user] += 1
        served = t.served if t.served and t.attempt == 1 else t.came
        keys[t.id] = (seen[t.user], max(t.came, served) - t.ahead, t.id)
    return sorted(keys, key=lambda ticket_id: keys[ticket_id])


@pytest.mark.parametrize("seed", range(8))
async def test_the_places_are_the_order_that_is_promised_and_the_order_of_the_claims(
    portal: Portal, service: Service, seed: int
) -> None:
    dice = random.Random(seed)
    tiers = {"guest": 0, "poweruser": 10, "xnat": 45}
    users = []
    for number, tier in enumerate(dice.choices(list(tiers), k=6)):
        await Tier.filter(name=tier).update(priority_minutes=tiers[tier])
        users.append(await accounts.save_user(f"u{number}@example.com", tier=tier))
    turns: dict[int, datetime] = {}
    for user in dice.sample(users, 3):
        turns[user.id] = START + timedelta(minutes=dice.randrange(60))
        await Turn.create(user=user, service=service.name, at=turns[user.id])
    await portal.announce_service(longdesc="Newer.")
    newer = await Service.get(name="lung-segmentation", current=True)
    model = []
    for _ in range(25):
        user, minute = dice.choice(users), dice.randrange(60)
        attempt, is_new = dice.choice([1, 1, 1, 2]), seed % 2 == 1 and dice.random() < 0.5
        model.append(
            Model(
                id=await waiting(newer if is_new else service, user, minute, attempt),
                user=user.id,
                came=START + timedelta(minutes=minute),
                served=turns.get(user.id),
                ahead=timedelta(minutes=tiers[user.tier_id]),
                attempt=attempt,
                is_new=is_new,
            )
        )
    promised = in_order(model)

    assert await order(service) == promised
    assert await listed_order(users, model) == promised
    assert [row["id"] for row in await queue_places.first([service.name], 7)] == promised[:7]
    for version, is_new in ((service, False), (newer, True)):
        of_version = [t.id for t in model if t.is_new is is_new]
        assert await next_of(version) == next((t for t in promised if t in of_version), None)
    assert (await portal.granted(0)).ticket_id == promised[0]


async def test_a_provider_that_polls_takes_turns_too(portal: Portal) -> None:
    """There is one order, for events and for polling."""
    await portal.announce_service()
    service = await Service.get(name="lung-segmentation")
    ann = await accounts.save_user("ann@example.com")
    bob = await accounts.save_user("bob@example.com")
    for minute in range(3):
        await waiting(service, ann, minute)
    await waiting(service, bob, 9)
    assert await given_out(portal, 1) == ["ann"]
    assert await given_out(portal, 1) in (["ann"], ["bob"])
    first = (await order(service))[0]

    claimant = Claimant(provider="p", instance="i", lease_s=60, user_id=ann.id)
    async with in_transaction():
        await queue.serialise([service.name])
        ticket = await claims.next_waiting([service], claimant)

    assert ticket is not None
    assert ticket.id == first
