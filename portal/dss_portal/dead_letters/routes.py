"""``/api/admin/dead-letters``: list, requeue and discard dead letters."""

from quart import Blueprint, Response

from dss_portal.admin.routes import sysadmin_only
from dss_portal.dead_letters import store
from dss_portal.dead_letters.table import COLUMNS, row
from dss_portal.refusals import Refused
from dss_portal.web import parameters
from dss_portal.web.answers import in_pages, long_table, plain
from dss_portal.web.context import components

blueprint = Blueprint("dead_letters", __name__, url_prefix="/api/admin/dead-letters")


@blueprint.get("")
@sysadmin_only
async def listing() -> Response:
    """List the dead letters, the oldest first, then the messages that the portal could not send; ``ticket`` is blank
    for a message about no ticket.
    """
    rows = [row(letter) for letter in await store.listed(components().broker)]
    return await long_table(COLUMNS, in_pages(rows))


@blueprint.post("/requeue")
@sysadmin_only
async def requeue() -> Response:
    """Requeue one letter (``id``) or all (``all=1``).  Raises Refused if there is no such letter, or if none could be
    requeued for the reasons in its text.
    """
    datastore = components().datastore
    requeued = await store.requeue(components().broker, datastore, _which(await parameters.form()))
    if requeued.refused and not requeued.done:
        raise Refused(" ".join(requeued.refused))
    return plain(requeued.sentence)


@blueprint.post("/discard")
@sysadmin_only
async def discard() -> Response:
    """Delete one letter (``id``) or all (``all=1``).  Raises Refused without ``confirm=1``, if there is no such letter,
    or if the queue cannot be read now.
    """
    form = await parameters.form()
    which = _which(form)
    if form.get("confirm") != "1":
        raise Refused("This removes messages for good; send confirm=1 if that is meant.")
    return plain(f"Discarded {await store.discard(components().broker, which)} messages")


def _which(form: dict[str, str]) -> str | None:
    """The id of one letter; None for all.  Raises Refused unless the form has exactly one of ``id`` and ``all``."""
    if form.get("all", "0") == "1" and "id" not in form:
        return None
    if "all" in form or not form.get("id"):
        raise Refused("Say which message: id=..., or all=1.")
    return form["id"]
