"""Database operations of site admins on providers, their users and services, and all tickets."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TypeVar

from tortoise.connection import get_connection
from tortoise.expressions import Q
from tortoise.models import Model
from tortoise.queryset import QuerySet
from tortoise.transactions import in_transaction

from dss_portal.accounts import store as accounts
from dss_portal.datastore import Datastore
from dss_portal.formats import PAGE_ROWS, Rows
from dss_portal.models import (
    Provider,
    ProviderAccess,
    ProviderService,
    Service,
    Ticket,
    User,
)
from dss_portal.refusals import Refused
from dss_portal.tickets import revocation, submission
from dss_portal.tickets import store as tickets
from dss_portal.tickets.lifecycle import FINISHED, OPEN

M = TypeVar("M", bound=Model)


async def providers() -> list[Provider]:
    """All providers, including removed ones, as the reference server lists them."""
    return await Provider.all().order_by("id")


async def add_provider(name: str) -> None:
    """Add a provider, or restore a removed one without its services.

    Raises Refused if the name is empty, has more than 78 characters, or has characters other than letters, digits,
    ``_`` and ``-``.
    """
    if not name or not all(c.isalnum() or c in "_-" for c in name) or len(name) > 78:
        raise Refused(
            f"A provider's name consists of letters, digits, '_' and '-', 78 at most; not '{name}'."
        )
    provider, _ = await Provider.get_or_create(name=name)
    provider.current = True
    await provider.save(update_fields=["current"])


async def remove_provider(name: str) -> None:
    """Mark a provider and its offers as removed, and services that no other provider offers.  Where its users lose the
    right to a claim, the claim ends and its ticket returns to the queue.  An unknown provider is ignored.
    """
    async with in_transaction():
        await _rights(ProviderAccess.filter(provider__name=name))
        await Provider.filter(name=name).update(current=False)
        links = ProviderService.filter(provider__name=name)
        await ProviderService.filter(id__in=await _ids(links)).update(current=False)
        await _remove_orphans()
        await revocation.end_revoked_claims()


async def provider_named(name: str) -> Provider:
    """The provider with that name.  Raises Refused if there is none."""
    provider = await Provider.get_or_none(name=name)
    if provider is None:
        raise Refused(f"There is no provider {name}.")
    return provider


async def administers(user: User, provider: str) -> bool:
    """True if the user currently has admin rights with that provider."""
    admin_rights = ProviderAccess.filter(user=user, admin=True, provider__current=True)
    return await admin_rights.filter(provider__name=provider).exists()


async def provider_users(name: str) -> list[tuple[int, str, int]]:
    """Number and e-mail of each user of the provider, with 1 for its admins and 0 for others."""
    found = ProviderAccess.filter(provider__name=name).select_related("user")
    return [(a.user.id, a.user.email, int(a.admin)) for a in await found.order_by("user_id")]


async def add_provider_user(name: str, email: str, *, admin: bool) -> None:
    """Give a user rights with a provider, in place of earlier ones.  Raises Refused for an unknown e-mail address or
    provider.
    """
    user = await User.get_or_none(email=accounts.address(email))
    if user is None:
        raise Refused("Email unrecognized by the system", 401)
    provider = await provider_named(name)
    await ProviderAccess.update_or_create(provider=provider, user=user, defaults={"admin": admin})


async def remove_provider_user(name: str, user_id: int) -> None:
    """Remove a user's rights with a provider.  Claims that need these rights end, and their tickets return to the
    queue.  Without such rights, do nothing.
    """
    if user_id >= 2**31:
        return
    async with in_transaction():
        rights = await _rights(ProviderAccess.filter(provider__name=name, user_id=user_id))
        await ProviderAccess.filter(id__in=rights).delete()
        await revocation.end_revoked_claims()


async def provider_services(name: str) -> list[Service]:
    links = ProviderService.filter(provider__name=name, service__current=True)
    found = await links.select_related("service")
    return sorted((link.service for link in found), key=lambda s: (s.name, s.version))


async def remove_service(provider: str, githash: str) -> None:
    async with in_transaction():
        links = ProviderService.filter(provider__name=provider, service__githash=githash)
        await ProviderService.filter(id__in=await _ids(links)).update(current=False)
        await _remove_orphans()


# $1: number of the last ticket on the previous page.
_TICKETS = f"""
SELECT ticket.id, user_account.email, service.name AS service, ticket.status,
    coalesce(changes.minutes, 0.0) AS minutes
FROM (SELECT * FROM ticket WHERE id > $1 AND status <> 'deleted' ORDER BY id LIMIT {PAGE_ROWS}) ticket
    JOIN user_account ON user_account.id = ticket.user_id
    JOIN service ON service.id = ticket.service_id
    LEFT JOIN LATERAL (
        SELECT round(extract(epoch FROM max(at) - min(at))::float8 / 60) AS minutes
        FROM ticket_history WHERE ticket_id = ticket.id) changes ON true
ORDER BY ticket.id
"""  # noqa: S608 - a constant of ours


async def ticket_pages() -> AsyncIterator[Rows]:
    """Yield all tickets that are not deleted, by number, in pages of rows: number, e-mail, service, state, and minutes
    between the first and the last change of state.
    """
    last = 0
    while True:
        found = await get_connection("default").execute_query_dict(_TICKETS, [last])
        if not found:
            return
        yield [tuple(row.values()) for row in found]
        last = found[-1]["id"]


async def purge(datastore: Datastore, *, completed_only: bool, older_than: timedelta) -> int:
    """Delete the tickets that were created longer ago than ``older_than``, and return their number.

    ``completed_only``: only tickets that succeeded, failed or timed out; otherwise open tickets, too.
    """
    states = list(FINISHED if completed_only else FINISHED | OPEN)
    before = tickets.now() - older_than
    old = Ticket.filter(Q(created_at__lt=before), status__in=states)
    numbers = await _ids(old)
    for number in numbers:
        await submission.withdraw(datastore, number)
    return len(numbers)


async def _remove_orphans() -> None:
    """Mark services that no provider offers any more as removed, so that they take no tickets."""
    offered = {
        int(str(i))
        for i in await ProviderService.filter(current=True, provider__current=True).values_list(
            "service_id", flat=True
        )
    }
    known = {int(str(i)) for i in await ProviderService.all().values_list("service_id", flat=True)}
    await Service.filter(id__in=list(known - offered)).update(current=False)


async def _rights(query: "QuerySet[ProviderAccess]") -> list[int]:
    """The numbers of the rights in ``query``.  The rows are locked until the caller's transaction ends, so that no
    claim uses them meanwhile.
    """
    numbers = await _ids(query)
    await ProviderAccess.filter(id__in=numbers).order_by("id").select_for_update()
    return numbers


async def _ids(query: "QuerySet[M]") -> list[int]:
    return [int(str(i)) for i in await query.values_list("id", flat=True)]
