"""Grants claims to providers over HTTP.  Requests that arrive at the same time are granted in one transaction.

Otherwise the requests would wait for each other: the grants of one service are serialised, and each transaction waits
for the disk when it commits.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tortoise.connection import get_connection
from tortoise.transactions import in_transaction

from dss_portal import forms
from dss_portal.models import Service, Ticket
from dss_portal.providers import announcements, keys, store
from dss_portal.refusals import Refused
from dss_portal.tickets import claims, queue
from dss_portal.tickets.granting import Claimant

MOST = 16

_LOCK = "SELECT id FROM provider_access WHERE user_id = ANY($1) ORDER BY id FOR UPDATE"

# A statement of its own: the statement that waited for the locks does not see what was committed meanwhile.
_RIGHTS = """
SELECT access.user_id, provider.name AS provider, service.id, service.githash, service.name, service.descriptor,
    service.polled_at
FROM provider_access access JOIN provider ON provider.id = access.provider_id AND provider.current
    JOIN user_account ON user_account.id = access.user_id AND NOT user_account.disabled
    LEFT JOIN provider_service offer ON offer.provider_id = provider.id AND offer.current
    LEFT JOIN service ON service.id = offer.service_id AND service.current
WHERE access.user_id = ANY($1)
"""


@dataclass(frozen=True, kw_only=True)
class ClaimRequest:
    """A user's request to claim the next waiting ticket of any of the services with the hashes ``githashes``.
    ``polls`` is True if the program does not announce itself, so that requests like this are its only signs of life.
    """

    user_id: int
    githashes: Sequence[str]
    claimant: Claimant
    polls: bool


@dataclass(frozen=True, kw_only=True)
class Granted:
    """The result of a ClaimRequest: the ticket that was claimed, None if no ticket waits.  ``services`` are the
    services of the request.
    """

    ticket: Ticket | None
    services: Sequence[Service]

    def row(self) -> tuple[int, str, str] | None:
        """The ticket's number, the hash of its service, and its status; None if no ticket was claimed."""
        if self.ticket is None:
            return None
        githash = next(s.githash for s in self.services if s.id == self.ticket.service_id)
        return self.ticket.id, githash, self.ticket.status.value


COLUMNS = ("id", "service_githash", "status")


def claim_request(
    user_id: int, githashes: Sequence[str], form: Mapping[str, str], lease_s: float
) -> ClaimRequest:
    """The claim request that a form contains.  ``lease_s`` applies to services that set no lease.  Raises Refused if
    the form names no provider, or if its idempotency key is malformed.
    """
    claimant = Claimant(
        provider=forms.of(form, "provider"),
        instance=form.get("code", "default"),
        lease_s=lease_s,
        user_id=user_id,
        delivery_id=keys.of_claim(user_id, form),
    )
    polls = not announcements.announces_itself(form)
    return ClaimRequest(user_id=user_id, githashes=githashes, claimant=claimant, polls=polls)


@dataclass
class _Rights:
    """What a user may claim: the names of the user's providers, and the services that these offer, by hash."""

    providers: set[str] = field(default_factory=set)
    services: dict[str, Service] = field(default_factory=dict)

    def check(self, ask: ClaimRequest) -> None:
        """Raises Refused if the user may not make this request, naming the first service that the user does not provide
        or the provider that is not one of the user's.
        """
        for githash in ask.githashes:
            if githash not in self.services:
                raise Refused(f"You are not a provider for service {githash} ", 401)
        if ask.claimant.provider not in self.providers:
            raise Refused(f"Provider {ask.claimant.provider} is not one of yours.")


async def grant(asks: Sequence[ClaimRequest]) -> list[Granted | Exception]:
    """Handle several requests in one transaction, in the order of ``asks``.  Returns a result for each, in the same
    order: a Granted, whose ticket is None if none waits, or a Refused if the user lacks the right.  A request that
    repeats an idempotency key gets the same ticket, while its claim lasts.  Any other error is raised for all requests.
    """
    async with in_transaction():
        rights = await _locked_rights({ask.user_id for ask in asks})
        found: list[Granted | Exception] = []
        polled: dict[int, Service] = {}
        wanted = [_allowed_services(ask, rights[ask.user_id]) for ask in asks]
        await queue.serialise(
            sorted({s.name for some in wanted if not isinstance(some, Refused) for s in some})
        )
        for ask, some in zip(asks, wanted, strict=True):
            if isinstance(some, Refused):
                found.append(some)
            else:
                ticket = await _granted_earlier(ask, some) or await claims.next_waiting(
                    some, ask.claimant
                )
                found.append(Granted(ticket=ticket, services=some))
                polled |= {service.id: service for service in some if ask.polls}
    await store.record_sign_of_life(list(polled.values()))
    return found


async def _granted_earlier(ask: ClaimRequest, services: Sequence[Service]) -> Ticket | None:
    """The ticket of ``services`` that was already claimed by this request, if the client repeats it because it did not
    get the response; its lease is renewed.  None if the request has no idempotency key, or is new.

    The ticket must be of ``services``: a publisher of a new version may send a key that it has used for the old
    version.
    """
    key = ask.claimant.delivery_id
    ticket = await claims.held_by(key, services) if key else None
    if ticket is not None:
        await claims.renew(str(ticket.claim_id))
    return ticket


def _allowed_services(ask: ClaimRequest, rights: _Rights) -> list[Service] | Refused:
    """The services of the request, without duplicates, if the user may claim for all of them; otherwise the Refused to
    respond with.
    """
    try:
        rights.check(ask)
    except Refused as refused:
        return refused
    return [rights.services[githash] for githash in dict.fromkeys(ask.githashes)]


async def _locked_rights(user_ids: set[int]) -> dict[int, _Rights]:
    """The rights of these users, by user id.  Their rows of ProviderAccess stay locked until the caller's transaction
    ends, so that the rights do not change meanwhile.
    """
    values, connection = [list(user_ids)], get_connection("default")
    await connection.execute_query(_LOCK, values)
    rows = await connection.execute_query_dict(_RIGHTS, values)
    found: dict[int, _Rights] = defaultdict(_Rights)
    for row in rows:
        rights = found[row["user_id"]]
        rights.providers.add(row["provider"])
        if row["githash"] is not None:
            rights.services[row["githash"]] = _service(row)
    return found


def _service(row: dict[str, Any]) -> Service:
    """The service of a database row, with only the columns that a grant needs."""
    fields = ("id", "githash", "name", "descriptor", "polled_at")
    return Service(**{name: row[name] for name in fields})
