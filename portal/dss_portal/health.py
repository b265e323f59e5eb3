"""``/healthz``: alive.  ``/readyz``: can do its job."""

import asyncio

from quart import Blueprint, Quart, Response, current_app

from dss_observability.serving import NO_DATASTORE
from dss_portal import database
from dss_portal.background import Background
from dss_portal.outbox.relay import Relay
from dss_portal.services import liveness
from dss_portal.services.liveness import Missed
from dss_portal.web.answers import plain

blueprint = Blueprint("health", __name__)

_WHO = {Missed.DISPATCHER: "Nobody", Missed.WORKER: "No inference worker"}

NOT_MIGRATED = "The database's schema is not up to date: run dss-portal migrate."


@blueprint.get("/healthz")
async def alive() -> Response:
    return plain("ok")


@blueprint.get("/readyz")
async def ready() -> Response:
    """200 ``ok``, or 503 with a line for each thing that is missing; then a line for each service that nobody serves."""
    found = await missing(current_app)
    lines = [*(found or ["ok"]), *await unserved()]
    return plain("\n".join(lines), 503 if found else 200)


async def missing(app: Quart) -> list[str]:
    """A sentence for each thing that keeps the portal from its work."""
    found = []
    migrated, answers = True, await database.answers()
    if not answers:
        found.append("The database does not answer.")
    elif not (migrated := await _schema_is_current()):
        found.append(NOT_MIGRATED)
    if problem := app.extensions["dss_broker"].problem:
        found.append(problem)
    elif answers and migrated and (sentence := await _outbox_problem(app)):
        found.append(sentence)
    # A datastore is made for a site whose database says that it is new, which only a schema can.
    if migrated and not await app.extensions["dss_datastore"].is_there():
        found.append(NO_DATASTORE)
    background: Background = app.extensions["dss_background"]
    return found + (background.problems() if migrated else [])


async def _outbox_problem(app: Quart) -> str:
    """Nothing also if it cannot be told."""
    relay: Relay = app.extensions["dss_relay"]
    try:
        return await asyncio.wait_for(relay.problem(), database.ANSWER_S)
    except Exception:  # whatever it is, it is no fault of the outbox
        return ""


async def unserved() -> list[str]:
    """A sentence for each service that a dispatcher of ours serves as a rule, and nobody does now.

    That keeps no portal from its own work: one that left the load balancer for it would hide finished tickets, too.
    """
    try:
        return await asyncio.wait_for(_unserved(), database.ANSWER_S)
    except Exception:  # of a database that is away; ``missing`` tells
        return []


async def _unserved() -> list[str]:
    return [
        f"{_WHO[standing.missed]} serves '{name}' at present."
        for name, standing in sorted((await liveness.standings()).items())
        if standing.offered and standing.has_dispatched and standing.missed
    ]


async def _schema_is_current() -> bool:
    """False also if it cannot be told."""
    try:
        return await asyncio.wait_for(database.is_current(), database.ANSWER_S)
    except Exception:  # whatever it is, the answer is no
        return False
