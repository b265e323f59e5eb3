"""Two addresses for monitoring: ``/healthz`` says that the process is alive, ``/readyz`` whether the portal can serve
requests.
"""

from quart import Blueprint, Response

from dss_portal import readiness
from dss_portal.web.answers import plain
from dss_portal.web.context import components

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
async def alive() -> Response:
    return plain("ok")


@blueprint.get("/readyz")
async def ready() -> Response:
    """Respond 200 ``ok``, or 503 with a line for each problem; then with a line for each service that no program
    serves.
    """
    found = await readiness.missing(components())
    lines = [*(found or ["ok"]), *await readiness.unserved()]
    return plain("\n".join(lines), 503 if found else 200)
