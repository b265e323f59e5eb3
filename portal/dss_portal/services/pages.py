"""``/services``: the page that lists all services with their state."""

from dataclasses import dataclass

from quart import Blueprint, Response

from dss_broker.descriptor import TagType
from dss_portal.accounts.sessions import terms_are_due
from dss_portal.formats import duration
from dss_portal.models import Service, Worker
from dss_portal.pages import addresses
from dss_portal.pages.guards import person, sign_in_first
from dss_portal.pages.rendering import page
from dss_portal.services import liveness, store
from dss_portal.services.liveness import MissingProgram
from dss_portal.services.statistics import Stats
from dss_portal.web.context import components

blueprint = Blueprint("catalogue", __name__)

SILENT_S = 3600  # the limit of the old services page
SOME_FAIL, MANY_FAIL = 0.1, 0.2
BUSY, CROWDED = 5, 25
KINDS = {
    TagType.MAIN: "main image",
    TagType.OVERLAY: "further image",
    TagType.ANATOMICAL: "image",
    TagType.SEGMENTATION: "segmentation",
    TagType.LABEL: "label of a segmentation",
    TagType.LANDMARK: "landmark",
    TagType.TIME_POINT: "time point",
}
"""The kinds of objects that a tag of a service marks, in words for users."""
SHOWN_VERSIONS = 20
"""Largest number of versions of one service that the page lists, the newest first."""


@dataclass(frozen=True, kw_only=True)
class Light:
    """An indicator of one aspect of a service's state, with words that explain it.  ``colour`` is ``green``, ``yellow``
    or ``red``; ``cyan`` if there is nothing to assess.
    """

    colour: str
    words: str


@blueprint.get(addresses.SERVICES)
async def service_list() -> Response:
    """The page of all services.  Users who have not signed in, or must accept the terms of use, are redirected."""
    found = await person()
    if found is None:
        return await sign_in_first(addresses.HOME)
    if terms_are_due():
        return await sign_in_first()
    workers = [
        (worker, liveness.is_alive(worker))
        for worker in await Worker.all().order_by("ended", "-heard_at").limit(20)
    ]
    offers = await components().estimates.offers(found.user)
    return await page(
        "services.html",
        services=await services_with_lights(),
        offers=offers,
        versions=await store.versions(),
        shown_versions=SHOWN_VERSIONS,
        workers=workers,
        at_work=await liveness.workers_at_work(),
        kinds=KINDS,
    )


async def services_with_lights() -> list[tuple[Service, list[Light], MissingProgram]]:
    """Every service that takes tickets, with its three indicators (programs, recent tickets, queue) and the kind of
    program that it lacks.  Services that lack a program come last.
    """
    availability = await liveness.availability()
    services = await store.listed()
    statistics = await components().statistics.of(services)
    lacks = [availability[each.name].missing_for(each.id, current=True) for each in services]
    found = [
        (each, _lights(stats, missing), missing)
        for each, stats, missing in zip(services, statistics, lacks, strict=True)
    ]
    return sorted(found, key=lambda item: item[2] is not MissingProgram.NONE)


def _lights(stats: Stats, missing: MissingProgram) -> list[Light]:
    return [presence(missing, stats.silent_s), outcome(stats), queue(stats.queue_length)]


def presence(missing: MissingProgram, silent_s: float | None) -> Light:
    """The indicator for the programs that serve a service: green if it lacks none, yellow if a provider over HTTP is
    silent or the dispatcher has been missing for less than SILENT_S, otherwise red.

    ``missing`` is the kind of program that it lacks; ``silent_s`` is the time in seconds since the last sign of life,
    None if there was none.
    """
    if missing is MissingProgram.NONE:
        return Light(colour="green", words="At work")
    if missing is MissingProgram.SILENT:
        ago = f", last heard of {duration(silent_s)} ago" if silent_s is not None else ""
        return Light(colour="yellow", words=f"At work on a ticket, or gone{ago}; tickets wait")
    if missing is MissingProgram.WORKER:
        return Light(colour="red", words="No inference worker serves this at present; tickets wait")
    if missing is MissingProgram.VERSION:
        return Light(colour="red", words="Nobody serves this version at present; tickets wait")
    if silent_s is None:
        return Light(colour="red", words="Nobody serves this at present; tickets wait")
    colour = "yellow" if silent_s < SILENT_S else "red"
    ago = f"last heard of {duration(silent_s)} ago"
    return Light(colour=colour, words=f"Nobody serves this at present ({ago}); tickets wait")


def outcome(stats: Stats) -> Light:
    ended = stats.n_success + stats.n_failed
    if ended == 0:
        return Light(colour="cyan", words="No ticket has ended in the last 24 hours")
    failing = stats.n_failed / ended
    colour = "green" if failing < SOME_FAIL else "yellow" if failing < MANY_FAIL else "red"
    words = f"{stats.n_success} of {ended} tickets of the last 24 hours succeeded"
    mean = f", in {duration(stats.mean_s)} on average" if stats.mean_s is not None else ""
    return Light(colour=colour, words=words + mean)


def queue(length: int) -> Light:
    if length == 0:
        return Light(colour="cyan", words="No ticket waits")
    colour = "green" if length < BUSY else "yellow" if length < CROWDED else "red"
    return Light(
        colour=colour, words=f"{length} {'ticket waits' if length == 1 else 'tickets wait'}"
    )
