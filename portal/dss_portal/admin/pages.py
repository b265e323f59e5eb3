"""``/admin``: the overview, the providers, and the purge of old tickets."""

from quart import Blueprint, Response, request

from dss_portal.admin import overview, store
from dss_portal.pages import addresses, forms
from dss_portal.pages.numbers import days
from dss_portal.pages.rendering import confirmation, page, problem_of, see_other
from dss_portal.tickets.lifecycle import FINISHED, OPEN
from dss_portal.web.context import components

blueprint = Blueprint("overview", __name__, url_prefix=addresses.ADMIN)


@blueprint.get("")
async def show(problem: str = "") -> Response:
    return await page(
        "admin.html",
        status=400 if problem else 200,
        counts=await overview.counts(),
        providers=await overview.provider_rows(),
        problem=problem,
    )


@blueprint.post("/providers")
async def add_provider() -> Response:
    """Add a provider, or restore a removed one."""
    name = (await forms.submitted()).text("name")
    if problem := await problem_of(store.add_provider(name)):
        return await show(problem)
    return await see_other(addresses.ADMIN, f"Provider {name} was added.")


@blueprint.get("/purge")
async def ask_purge() -> Response:
    """Show the number of tickets that a purge would delete, and ask for confirmation.  Raises Refused for a bad
    number of days.
    """
    which, text = request.args.get("which", "completed"), request.args.get("days", "7").strip()
    states = FINISHED if which == "completed" else FINISHED | OPEN
    count = await overview.count_older(states, days(text))
    kind = "completed tickets" if which == "completed" else "tickets, waiting and running too,"
    return await confirmation(
        question="Purge old tickets?",
        consequence=f"{count} {kind} are older than {text} days. Their images and results are "
        "removed for good.",
        verb="Purge them",
        back=addresses.ADMIN,
        fields={"which": which, "days": text},
    )


@blueprint.post("/purge")
async def purge() -> Response:
    """Delete old tickets that have ended; with ``which=all``, open ones as well.  Raises Refused for a bad number of
    days.
    """
    form = await forms.submitted()
    datastore = components().datastore
    completed_only = form.text("which") != "all"
    age = days(form.text("days"))
    count = await store.purge(datastore, completed_only=completed_only, older_than=age)
    return await see_other(addresses.ADMIN, f"{count} tickets were purged.")
