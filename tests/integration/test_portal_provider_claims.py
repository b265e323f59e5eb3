"""Claims over HTTP: who may claim, and which ticket is given to whom."""

import asyncio
import json

import pytest
from quart.typing import TestClientProtocol as Client

from dss_broker.messages import ClaimGranted, ClaimRefused
from dss_portal.admin import store as admin
from support import provider_claims
from support.portals import Portal, post, submitted_ticket, text
from support.provider_claims import claim

pytestmark = pytest.mark.stack

githash = provider_claims.githash
provider = provider_claims.provider
claimed = provider_claims.claimed


async def test_a_provider_sees_the_services_that_he_works_for(
    portal: Portal, provider: Client, githash: str
) -> None:
    assert await text(provider, "/api/pro/services") == f"lung-segmentation,1.0.0,{githash},dss\r\n"
    assert await text(await portal.user(), "/api/pro/services") == ""


async def test_a_stranger_may_not_claim(portal: Portal, githash: str) -> None:
    answer = await post(await portal.user(), f"/api/pro/services/{githash}/claims", provider="dss")

    assert answer == (401, f"You are not a provider for service {githash} ")


async def test_a_claim_without_tickets_gets_the_words_that_clients_compare(
    provider: Client, githash: str
) -> None:
    assert await claim(provider, githash) == "-1"
    several = await post(provider, "/api/pro/services/claims", services=githash, provider="dss")
    assert several == (200, "None")


async def test_a_claim_over_several_services_is_one_row(
    portal: Portal, provider: Client, githash: str
) -> None:
    ticket_id = await submitted_ticket(await portal.user())

    answer = await post(provider, "/api/pro/services/claims", services=githash, provider="dss")

    assert answer == (200, f"{ticket_id},{githash},claimed\r\n")


async def test_nobody_claims_in_the_name_of_others(provider: Client, githash: str) -> None:
    """The reference's weakness 13."""
    answer = await post(provider, f"/api/pro/services/{githash}/claims", provider="NOTMYNAME")

    assert answer == (400, "Provider NOTMYNAME is not one of yours.")


async def test_a_removed_service_gives_no_tickets(
    portal: Portal, provider: Client, githash: str
) -> None:
    """The reference's weakness 14."""
    client = await portal.user()
    await submitted_ticket(client)

    await admin.remove_service("dss", githash)

    answer = await post(provider, f"/api/pro/services/{githash}/claims", provider="dss")
    assert answer[0] == 401
    assert (await post(client, "/api/tickets", name="lung-segmentation"))[0] == 400
    assert await text(client, "/api/services") == ""


async def test_waiting_tickets_are_counted_without_claiming(
    portal: Portal, provider: Client, githash: str
) -> None:
    path = "/api/pro/services/available"
    assert await post(provider, path, services=githash) == (200, "")
    await submitted_ticket(await portal.user())
    await submitted_ticket(await portal.user())

    assert await post(provider, path, services=githash) == (
        200,
        f"{githash},lung-segmentation,2\r\n",
    )
    assert (await post(provider, path))[0] == 400


async def test_200_tickets_go_to_32_claimers_each_once(
    portal: Portal, provider: Client, githash: str
) -> None:
    """The ancestors' fault 1."""
    users = [await portal.user(f"user{i}@example.com") for i in range(20)]
    tickets = {str(await submitted_ticket(user)) for user in users for _ in range(10)}

    async def claim_until_empty() -> list[str]:
        mine = []
        while (number := await claim(provider, githash)) != "-1":
            mine.append(number)
        return mine

    claims = await asyncio.gather(*(claim_until_empty() for _ in range(32)))

    given = [number for mine in claims for number in mine]
    assert sorted(given) == sorted(tickets)


async def test_a_dispatcher_does_not_get_what_a_provider_has(portal: Portal, claimed: int) -> None:
    answer = await portal.claim(claimed)

    assert isinstance(answer, ClaimRefused)
    assert answer.reason == "No ticket waits any more."


async def test_a_provider_does_not_get_what_a_dispatcher_has(
    portal: Portal, provider: Client, githash: str
) -> None:
    ticket_id = await submitted_ticket(await portal.user())

    assert isinstance(await portal.claim(ticket_id), ClaimGranted)

    assert await claim(provider, githash) == "-1"


async def test_a_key_that_was_used_for_another_service_gives_no_ticket_of_that_one(
    portal: Portal, provider: Client, githash: str
) -> None:
    """A publisher whose service was changed after its request, and whose answer was lost, asks so."""
    await portal.announce_service(name="liver-segmentation")
    listed = json.loads(await text(provider, "/api/services?format=json"))["result"]
    (other,) = [service["githash"] for service in listed if service["githash"] != githash]
    ann, numbers = await portal.user(), []
    for service in (githash, other):
        _, number = await post(ann, "/api/tickets", githash=service)
        await post(ann, f"/api/tickets/{number}/status", status="ready")
        numbers.append(number)
    path, form = "/api/pro/services/claims", {"provider": "dss", "key": "1" * 32}

    answers = [
        await post(provider, path, services=services, **form)
        for services in (githash, other, other, githash)
    ]

    lungs, liver = [
        (200, f"{number},{each},claimed\r\n")
        for number, each in zip(numbers, (githash, other), strict=True)
    ]
    assert answers == [lungs, liver, liver, lungs]
