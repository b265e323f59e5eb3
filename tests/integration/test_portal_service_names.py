"""A service's name belongs to its provider, so nobody gets another's tickets under it."""

import asyncio
import json
import logging

import pytest
from quart.typing import TestClientProtocol as Client

from dss_broker.messages import ClaimRefused, ServiceAnnounced
from dss_portal.admin import store as admin
from dss_portal.models import Provider, ProviderService, Service
from dss_portal.refusals import Refused
from dss_portal.services import registration
from dss_portal.services import store as services
from support.portals import DESCRIPTOR, Portal, post, submitted_ticket

pytestmark = pytest.mark.stack

BELONGS = (
    "The service name 'lung-segmentation' belongs to provider lab; choose another name, "
    "or remove that provider's service first."
)


async def _offer(provider: str, **changes: object) -> str:
    """Registered by a sysadmin; its hash."""
    await admin.add_provider(provider)
    owner = await admin.provider_named(provider)
    descriptor = json.dumps({**DESCRIPTOR, **changes}).encode()
    return await registration.from_upload(owner, "service.json", descriptor)


async def _announce(provider: str, **changes: object) -> None:
    descriptor = {**DESCRIPTOR, **changes}
    message = ServiceAnnounced(
        service="lung-segmentation", provider=provider, instance="i", descriptor=descriptor
    )
    await services.announce(message)


async def _offered_by() -> list[tuple[str, str]]:
    links = ProviderService.filter(current=True, service__current=True)
    found = await links.values_list("provider__name", "service__version")
    return sorted((str(provider), str(version)) for provider, version in found)


@pytest.mark.parametrize("version", ["1.0.1", "2.0.0", "0.1"])
async def test_no_other_provider_registers_a_version_of_the_name(
    portal: Portal, version: str
) -> None:
    await _offer("lab")

    with pytest.raises(Refused) as refusal:
        await _offer("other", version=version)

    assert refusal.value.text == BELONGS
    assert await _offered_by() == [("lab", "1.0.0")]


async def test_no_other_provider_joins_the_very_same_service(portal: Portal) -> None:
    await _offer("lab")

    with pytest.raises(Refused) as refusal:
        await _offer("other")

    assert refusal.value.text == BELONGS


async def test_of_two_at_the_same_time_one_gets_the_name(portal: Portal) -> None:
    await admin.add_provider("a")
    await admin.add_provider("b")

    ended = await asyncio.gather(
        *[_offer(name, version=f"1.{n}") for n in range(5) for name in ("a", "b")],
        return_exceptions=True,
    )

    owners = {provider for provider, _ in await _offered_by()}
    assert len(owners) == 1
    assert sum(isinstance(end, Refused) for end in ended) == 5


async def test_its_provider_registers_newer_versions(portal: Portal) -> None:
    await _offer("lab")

    await _offer("lab", version="2.0.0")

    assert await _offered_by() == [("lab", "1.0.0"), ("lab", "2.0.0")]


@pytest.mark.parametrize("end", ["service", "provider"])
async def test_a_name_is_free_when_nobody_offers_it_any_more(portal: Portal, end: str) -> None:
    githash = await _offer("lab")
    await (
        admin.remove_service("lab", githash) if end == "service" else admin.remove_provider("lab")
    )

    await _offer("other")

    assert await _offered_by() == [("other", "1.0.0")]


async def test_a_removed_provider_offers_nothing_new(portal: Portal) -> None:
    await _offer("lab")
    await admin.remove_provider("lab")
    owner = await admin.provider_named("lab")

    with pytest.raises(Refused, match="Provider lab was removed; add it again first"):
        await registration.from_upload(owner, "service.json", json.dumps(DESCRIPTOR).encode())
    await _announce("lab", version="9.0.0")

    assert not await Service.exists(current=True)


async def test_an_announcement_does_not_take_a_name_away(
    portal: Portal, caplog: pytest.LogCaptureFixture
) -> None:
    await _offer("lab")

    with caplog.at_level(logging.WARNING):
        await _announce("dss")
        await _announce("dss", version="9.0.0")
        await _announce("dss", shortdesc="Another of the same version")

    assert await _offered_by() == [("lab", "1.0.0")]
    (record,) = [r for r in caplog.records if r.msg == "announced service refused"]
    assert record.__dict__["reason"] == BELONGS


async def test_a_name_that_a_dispatcher_announced_is_not_registered_by_another(
    portal: Portal,
) -> None:
    await portal.announce_service()

    with pytest.raises(Refused, match="belongs to provider dss"):
        await _offer("lab", version="9.0.0")


async def test_an_announcement_does_not_bring_a_removed_service_to_another(portal: Portal) -> None:
    githash = await _offer("lab")
    await admin.remove_service("lab", githash)

    await _announce("dss")

    assert await _offered_by() == []
    assert await ProviderService.filter(provider__name="dss").count() == 0


async def test_a_dispatcher_gets_no_ticket_of_another_provider(portal: Portal) -> None:
    await portal.announce_service()
    ticket_id = await submitted_ticket(await portal.user())
    await Provider.filter(name="dss").update(name="lab")  # it has been the other's all the time

    answer = await portal.claim(ticket_id)

    assert isinstance(answer, ClaimRefused)


@pytest.fixture
async def root(portal: Portal) -> Client:
    return await portal.user("root@example.com", sysadmin=True)


async def test_registration_is_for_sysadmins(portal: Portal, root: Client) -> None:
    boss = await portal.user("boss@example.com")
    await post(root, "/api/admin/providers", name="lab")
    await post(root, "/api/admin/providers/lab/users", email="boss@example.com", admin="1")

    answer = await post(
        boss, "/api/admin/providers/lab/services", repo="https://x.example/a", ref=""
    )

    assert answer == (401, "Insufficient privileges")
