"""Sentences for operators: what prevents the portal from working, and which services are not served."""

import asyncio

from dss_portal import database
from dss_portal.components import Components
from dss_portal.outbox.relay import Relay
from dss_portal.services import liveness
from dss_portal.services.liveness import Missed

_WHO = {
    Missed.DISPATCHER: "Nobody",
    Missed.WORKER: "No inference worker",
    Missed.SILENT: "No provider that is heard of",
}

NOT_MIGRATED = "The database's schema is not up to date: run dss-portal migrate."


async def missing(components: Components) -> list[str]:
    """A sentence for each thing that prevents the portal from working."""
    found = []
    migrated, answers = True, await database.answers()
    if not answers:
        found.append("The database does not answer.")
    elif not (migrated := await _schema_is_current()):
        found.append(NOT_MIGRATED)
    if problem := components.broker.problem:
        found.append(problem)
    elif answers and migrated and (sentence := await _outbox_problem(components.relay)):
        found.append(sentence)
    # A datastore is made for a site whose database says that it is new, which only a schema can.
    if migrated and (away := await components.datastore.problem()):
        found.append(away)
    return found + (components.background.problems() if migrated else [])


async def _outbox_problem(relay: Relay) -> str:
    """The relay's problem; "" if there is none or if the database cannot be asked."""
    try:
        return await asyncio.wait_for(relay.problem(), database.ANSWER_S)
    except Exception:  # whatever it is, it is no fault of the outbox
        return ""


async def unserved() -> list[str]:
    """A sentence for each service that one of our dispatchers has served, and that is not served now.

    Such a portal is still ready: if it left the load balancer, finished tickets could not be fetched either.
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
    """True if all migrations are applied; False also if the database cannot be asked."""
    try:
        return await asyncio.wait_for(database.is_current(), database.ANSWER_S)
    except Exception:  # whatever it is, the answer is no
        return False
