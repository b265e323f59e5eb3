"""``/api/services``: the API with which ITK-SNAP and other clients list services, their descriptors, statistics and
estimates.
"""

from quart import Blueprint, Response

from dss_portal.accounts.sessions import current_user, signed_in
from dss_portal.estimates import words
from dss_portal.estimates.durations import TicketSize
from dss_portal.estimates.estimates import NewTicketEstimate, times_of
from dss_portal.formats import Cell
from dss_portal.services import store
from dss_portal.web import parameters
from dss_portal.web.answers import json_body, table
from dss_portal.web.context import components

blueprint = Blueprint("services", __name__, url_prefix="/api/services")


@blueprint.get("")
@signed_in
async def listing() -> Response:
    rows = [(s.name, s.githash, s.version, s.shortdesc) for s in await store.listed()]
    return table(("name", "githash", "version", "shortdesc"), rows)


@blueprint.get("/estimates")
@signed_in
async def estimates() -> Response:
    """A table of estimates, one row for each service: when would a ticket that is submitted now begin and end?  The
    query gives its size as ``voxels`` or ``bytes``; without them it has the service's usual size.

    ``before`` is the number of tickets that would be served earlier.  ``begins_s`` and ``ends_s`` are in seconds from
    now, and empty if they are not known; ``sentence`` says the same in words.
    """
    voxels, size_bytes = parameters.number("voxels", 0), parameters.number("bytes", 0)
    size = TicketSize(voxels=voxels if voxels > 0 else None, size_bytes=max(size_bytes, 0))
    wanted = size if voxels > 0 or size_bytes > 0 else None
    found = await components().estimates.offers(current_user(), wanted)
    rows = [(s.githash, *_offered(found.of(s))) for s in await store.listed()]
    return table(("githash", "before", "begins_s", "ends_s", "sentence"), rows)


def _offered(offer: NewTicketEstimate | None) -> tuple[Cell, ...]:
    if offer is None:
        return None, None, None, words.UNKNOWN
    return offer.before, *times_of(offer.forecast), offer.sentence


@blueprint.get("/<regex('[a-f0-9]+'):githash>/detail")
@signed_in
async def detail(githash: str) -> Response:
    """The service's descriptor as JSON, without the object ``{"result": ...}`` around it that other responses have."""
    return json_body((await store.by_hash(githash)).descriptor)


@blueprint.get("/<regex('[a-f0-9]+'):githash>/stats")
@signed_in
async def stats(githash: str) -> Response:
    """The statistics of a service over the last 24 hours as one row.  It has the column ``avg_duration`` only if a ticket
    has succeeded in that time.

    The column ``last_heard_from`` is the time in seconds since the last sign of life of a program that serves it;
    without any, the time since its registration, as in the reference server.
    """
    (found,) = await components().statistics.of([await store.by_hash(githash)])
    duration = {"avg_duration": found.mean_s} if found.n_success else {}
    row: dict[str, Cell] = {
        "n_success": found.n_success,
        "n_failed": found.n_failed,
        **duration,
        "last_heard_from": found.listed_s if found.silent_s is None else found.silent_s,
        "queue_length": found.queue_length,
    }
    return table(tuple(row), [tuple(row.values())])
