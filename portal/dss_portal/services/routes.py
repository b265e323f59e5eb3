"""``/api/services``: what ITK-SNAP's Submit tab shows."""

from quart import Blueprint, Response

from dss_portal.accounts.sessions import signed_in
from dss_portal.formats import json_body, table
from dss_portal.services import store

blueprint = Blueprint("services", __name__, url_prefix="/api/services")


@blueprint.get("")
@signed_in
async def listing() -> Response:
    rows = [(s.name, s.githash, s.version, s.shortdesc) for s in await store.listed()]
    return table(("name", "githash", "version", "shortdesc"), rows)


@blueprint.get("/<regex('[a-f0-9]+'):githash>/detail")
@signed_in
async def detail(githash: str) -> Response:
    """The bare descriptor, without the ``result`` envelope."""
    return json_body((await store.by_hash(githash)).descriptor)
