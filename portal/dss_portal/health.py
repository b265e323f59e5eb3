"""``/healthz``: alive.  ``/readyz``: can do its job."""

from quart import Blueprint, Response, current_app

from dss_portal import database
from dss_portal.formats import plain

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
async def alive() -> Response:
    return plain("ok")


@blueprint.get("/readyz")
async def ready() -> Response:
    """200 ``ok``, or 503 with a line for each thing that is missing."""
    missing = [
        *([] if await _database_answers() else ["The database does not answer."]),
        *([] if current_app.extensions["dss_broker"].connected else ["The broker is away."]),
        *(
            []
            if current_app.extensions["dss_datastore"].writable()
            else ["The datastore cannot be written."]
        ),
    ]
    return plain("\n".join(missing), 503) if missing else plain("ok")


async def _database_answers() -> bool:
    try:
        await database.ping()
    except Exception:
        return False
    return True
