"""Checks for ``/api/pro`` which services a user provides, and which tickets the user has claimed."""

from collections.abc import Sequence
from datetime import timedelta

from tortoise.functions import Count, Min

from dss_datastore.layout import Area
from dss_portal.database import clock
from dss_portal.models import Claim, ProviderAccess, ProviderService, Service, Status, Ticket, User
from dss_portal.refusals import Refused
from dss_portal.tickets import store as tickets
from dss_portal.tickets.lifecycle import is_current

SIGN_OF_LIFE_INTERVAL_S = 1.0


async def services_of(user: User) -> list[tuple[Service, str]]:
    """The services that this user's providers offer and that take tickets, each with the name of the provider, ordered
    by hash.
    """
    provider_ids = await _provider_ids(user)
    links = ProviderService.filter(
        provider_id__in=provider_ids, current=True, service__current=True
    )
    found = await links.select_related("service", "provider").order_by("service__githash")
    return [(link.service, link.provider.name) for link in found]


async def require_provided(user: User, githashes: Sequence[str]) -> list[Service]:
    """The services with these hashes, without duplicates.  Raises Refused (401), naming the first hash that is of no
    service that the user provides.
    """
    provided = {service.githash: service for service, _ in await services_of(user)}
    for githash in githashes:
        if githash not in provided:
            raise Refused(f"You are not a provider for service {githash} ", 401)
    return [provided[githash] for githash in dict.fromkeys(githashes)]


async def record_sign_of_life(services: Sequence[Service]) -> None:
    """Record that a provider's program has shown a sign of life for these services; for each service at most once in
    SIGN_OF_LIFE_INTERVAL_S seconds.

    The interval limits writes, because all users of a service's providers update the same row.
    """
    now = clock.now()
    since = now - timedelta(seconds=SIGN_OF_LIFE_INTERVAL_S)
    ids = [s.id for s in services if s.polled_at is None or s.polled_at < since]
    if ids:
        await Service.filter(id__in=ids).update(heard_at=now, polled_at=now)


async def waiting(services: Sequence[Service]) -> list[tuple[str, str, int]]:
    """The hash, the name and the number of waiting tickets of each service that has any, the service with the oldest
    waiting ticket first.
    """
    ready = Ticket.filter(service_id__in=[s.id for s in services], status=Status.READY)
    rows = (
        await ready.annotate(count=Count("id"), first=Min("id"))
        .group_by("service_id")
        .order_by("first")
        .values_list("service_id", "count")
    )
    by_id = {service.id: service for service in services}
    return [(by_id[i].githash, by_id[i].name, int(count)) for i, count in rows]


async def require_visible(ticket_id: int, user: User) -> Ticket:
    """The ticket, if one of the user's providers offers its service now.  Raises Refused if not."""
    ticket = await Ticket.get_or_none(id=ticket_id) if ticket_id < 2**31 else None
    service_ids = {service.id for service, _ in await services_of(user)}
    if ticket is None or ticket.service_id not in service_ids:
        raise Refused(f"Ticket {ticket_id} not found for user {user.id}")
    return ticket


async def require_ever_claimed(ticket_id: int, user: User) -> Ticket:
    """The ticket, for reading, if the user has claimed it at any time.  Raises Refused if not, if the user's providers
    have never offered its service, or if it is deleted.
    """
    ticket = await Ticket.get_or_none(id=ticket_id) if ticket_id < 2**31 else None
    if ticket is None or not await Claim.exists(ticket_id=ticket_id, user_id=user.id):
        raise not_claimed(ticket_id, user)
    offers = ProviderService.filter(service_id=ticket.service_id)
    if not await offers.filter(provider_id__in=await _provider_ids(user)).exists():
        raise not_claimed(ticket_id, user)
    if ticket.status is Status.DELETED:
        raise Refused(f"Ticket {ticket_id} has been deleted ")
    return ticket


async def held_claim(ticket: Ticket, user: User) -> Claim:
    """The user's claim on the ticket, which allows writing.  Raises Refused if the user does not hold the ticket's
    current claim.
    """
    claim = await Claim.get_or_none(id=ticket.claim_id, user_id=user.id)
    if claim is None or not is_current(tickets.state_of(ticket), claim.id):
        raise not_claimed(ticket.id, user)
    return claim


async def require_claim(ticket_id: int, user: User) -> None:
    """Raises Refused unless the user holds the ticket's current claim."""
    await held_claim(await require_ever_claimed(ticket_id, user), user)


async def lock_held_ticket(ticket_id: int, user: User) -> tuple[Ticket, Claim]:
    """The ticket, with its row locked until the caller's transaction ends, and the user's claim on it.  Raises Refused
    if the user does not hold the ticket's current claim.
    """
    await require_ever_claimed(ticket_id, user)
    ticket = await tickets.locked(ticket_id)
    if ticket is None:
        raise not_claimed(ticket_id, user)
    return ticket, await held_claim(ticket, user)


def folder_of(claim: Claim, area: Area) -> str:
    """The folder (as in TicketFile) for a file that is uploaded under this claim.  Each claim has its own folder for
    results, so that a late upload under an ended claim replaces no file of a newer claim; an input has none ("").
    """
    return claim.id if area == "results" else ""


async def _provider_ids(user: User) -> list[int]:
    found = ProviderAccess.filter(user=user, provider__current=True)
    return [int(str(i)) for i in await found.values_list("provider_id", flat=True)]


def not_claimed(ticket_id: int, user: User) -> Refused:
    return Refused(f"Ticket {ticket_id} has not been claimed by user {user.id}")
