"""``/services``: what is offered, and how it does."""

from dataclasses import dataclass

from quart import Blueprint, Response

from dss_portal.formats import duration
from dss_portal.models import Service, Worker
from dss_portal.pages.guards import person
from dss_portal.pages.rendering import page, see_other
from dss_portal.services import store
from dss_portal.services.store import Stats

blueprint = Blueprint("catalogue", __name__)

ALIVE_S, TIRED_S = 600, 3600  # the traffic lights of the old services page
SOME_FAIL, MANY_FAIL = 0.1, 0.2
BUSY, CROWDED = 5, 25


@dataclass(frozen=True, kw_only=True)
class Light:
    """``colour`` is ``green``, ``yellow``, ``red`` or, where there is nothing to judge, ``cyan``."""

    colour: str
    words: str


@blueprint.get("/services")
async def service_list() -> Response:
    """For who has signed in."""
    if await person() is None:
        return await see_other("/")
    shown = [(service, await _lights(service)) for service in await store.listed()]
    workers = await Worker.all().order_by("-heard_at").limit(20)
    return await page("services.html", services=shown, workers=workers)


async def _lights(service: Service) -> list[Light]:
    stats = await store.stats(service)
    return [presence(stats.silent_s), outcome(stats), queue(stats.queue_length)]


def presence(silent_s: float | None) -> Light:
    """By when anybody who serves it was last heard."""
    if silent_s is None:
        return Light(colour="red", words="Nobody has been at work yet; tickets wait")
    if silent_s < ALIVE_S:
        return Light(colour="green", words="At work")
    colour = "yellow" if silent_s < TIRED_S else "red"
    return Light(colour=colour, words=f"Not heard of for {duration(silent_s)}")


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
