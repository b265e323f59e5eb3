"""``/api/services``: the services for ITK-SNAP's Submit tab."""

from quart import Blueprint, Response

from dss_portal.accounts.sessions import signed_in
from dss_portal.formats import Cell
from dss_portal.services import store
from dss_portal.web.answers import json_body, table

blueprint = Blueprint("services", __name__, url_prefix="/api/services")


@blueprint.get("")
@signed_in
async def listing() -> Response:
    rows = [(s.name, s.githash, s.version, s.shortdesc) for s in await store.listed()]
    return table(("name", "githash", "version", "shortdesc"), rows)


@blueprint.get("/<regex('[a-f0-9]+'):githash>/detail")
@signed_in
async def detail(githash: str) -> Response:
    """The service's descriptor, without the ``result`` envelope."""
    return json_body((await store.by_hash(githash)).descriptor)


@blueprint.get("/<regex('[a-f0-9]+'):githash>/stats")
@signed_in
async def stats(githash: str) -> Response:
    """The statistics of a service as one row, with the column ``avg_duration`` only if a ticket has succeeded.

    A service without any sign of life counts from its registration, as in the reference server.
    """
    found = await store.stats(await store.by_hash(githash))
    duration = {"avg_duration": found.mean_s} if found.n_success else {}
    row: dict[str, Cell] = {
        "n_success": found.n_success,
        "n_failed": found.n_failed,
        **duration,
        "last_heard_from": found.listed_s if found.silent_s is None else found.silent_s,
        "queue_length": found.queue_length,
    }
    return table(tuple(row), [tuple(row.values())])
