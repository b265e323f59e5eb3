"""``/admin/dead-letters``: the page where sysadmins requeue and discard dead letters."""

from quart import Blueprint, Response, request

from dss_portal.dead_letters import store
from dss_portal.dead_letters.table import age_s
from dss_portal.outbox import unsent
from dss_portal.pages import addresses, forms
from dss_portal.pages.rendering import confirmation, page, see_other
from dss_portal.refusals import Refused
from dss_portal.web.context import components

blueprint = Blueprint("dead_letters", __name__, url_prefix=addresses.DEAD_LETTERS)

SHOWN = 200


@blueprint.get("")
async def show(problem: str = "") -> Response:
    """The page with the dead letters.  If the broker is unavailable, it shows the reason, and only the messages that
    the portal itself could not send.
    """
    try:
        letters = await store.listed(components().broker)
    except Refused as error:
        letters, problem = await unsent.listed(), problem or error.text
    return await page(
        "admin_dead_letters.html",
        status=400 if problem else 200,
        letters=letters[:SHOWN],
        count=len(letters),
        age_s=age_s,
        problem=problem,
    )


@blueprint.get("/requeue")
async def ask_requeue() -> Response:
    """Show a question before all letters are requeued.  Requeueing one letter needs no question, because it loses
    nothing.
    """
    return await confirmation(
        question="Requeue all dead letters?",
        consequence="Every ticket that failed because of one waits again, from the beginning; "
        "every other message goes back to the queue it came from.",
        verb="Requeue all",
        back=addresses.DEAD_LETTERS,
    )


@blueprint.post("/requeue")
async def requeue() -> Response:
    datastore = components().datastore
    letter_id = (await forms.submitted()).text("id") or None
    try:
        requeued = await store.requeue(components().broker, datastore, letter_id)
    except Refused as error:
        return await show(error.text)
    if requeued.refused:
        return await show(requeued.sentence)
    return await see_other(addresses.DEAD_LETTERS, requeued.sentence)


@blueprint.get("/discard")
async def ask_discard() -> Response:
    letter_id = request.args.get("id", "")
    which = f"message {letter_id}" if letter_id else "all dead letters"
    return await confirmation(
        question=f"Discard {which}?",
        consequence="What is discarded is gone for good, with its reason and its origin. "
        "Tickets stay as they are.",
        verb="Discard",
        back=addresses.DEAD_LETTERS,
        fields={"id": letter_id},
    )


@blueprint.post("/discard")
async def discard() -> Response:
    letter_id = (await forms.submitted()).text("id") or None
    try:
        count = await store.discard(components().broker, letter_id)
    except Refused as error:
        return await show(error.text)
    return await see_other(
        addresses.DEAD_LETTERS,
        f"{count} {'message was' if count == 1 else 'messages were'} discarded.",
    )
