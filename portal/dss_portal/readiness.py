"""Sentences for operators that say why the portal cannot work, and which services no program serves."""

import asyncio

from dss_portal import database
from dss_portal.components import Components
from dss_portal.outbox.relay import Relay
from dss_portal.services import liveness
from dss_portal.services.liveness import MissingProgram

_WHO = {
    MissingProgram.DISPATCHER: "Nobody",
    MissingProgram.WORKER: "No inference worker",
    MissingProgram.SILENT: "No provider that is heard of",
}

LISTENER = "listener"
"""The name of the background task that subscribes to the dispatchers' messages, and then returns."""
NOT_LISTENING = "The portal does not take the messages of dispatchers yet."


async def missing(components: Components) -> list[str]:
    """A sentence for each thing that prevents the portal from working; empty if the portal is ready."""
    found, usable = [], True
    if ill := await database.problem():
        found.append(ill)
    elif wrong := await _version_problem():
        found.append(wrong)
        usable = False
    if problem := components.broker.problem:
        found.append(problem)
    elif not found:
        found += await _queue_problems(components)
    # A new datastore is only made if the database shows that the site is new; for that it needs its schema.
    if usable and (away := await components.datastore.problem()):
        found.append(away)
    return found + (components.background.problems() if usable else [])


async def _queue_problems(components: Components) -> list[str]:
    """A sentence for each thing that keeps tickets from the dispatchers, or the dispatchers'
    messages from this portal.
    """
    found = [sentence] if (sentence := await _outbox_problem(components.relay)) else []
    return found if LISTENER in components.background.done else [*found, NOT_LISTENING]


async def _outbox_problem(relay: Relay) -> str:
    """A sentence about messages that ``relay`` cannot send; "" if there is no problem or if the database does not
    answer.
    """
    try:
        return await asyncio.wait_for(relay.problem(), database.ANSWER_S)
    except Exception:  # an error of the database, which is reported elsewhere
        return ""


async def unserved() -> list[str]:
    """A sentence for each offered service that a dispatcher has served before, and that no program serves now; empty if
    the database does not answer.

    A portal with such a service is still ready: if it left the load balancer, finished tickets could not be downloaded
    either.
    """
    try:
        return await asyncio.wait_for(_unserved(), database.ANSWER_S)
    except Exception:  # the database is away, which ``missing`` reports
        return []


async def _unserved() -> list[str]:
    return [
        f"{_WHO[available.missing]} serves '{name}' at present."
        for name, available in sorted((await liveness.availability()).items())
        if available.offered and available.has_dispatched and available.missing
    ]


async def _version_problem() -> str:
    """A sentence if the server is too old, the schema does not fit, or the database does not answer; otherwise ""."""
    try:
        return await asyncio.wait_for(database.version_problem(), database.ANSWER_S)
    except Exception:  # any error means that this is not known
        return database.NO_ANSWER
