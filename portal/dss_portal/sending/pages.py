"""``/send``: images and workspaces from a browser, several at once with its script, one without."""

from quart import Blueprint, Response, g

from dss_portal.accounts.sessions import Identity, current_user
from dss_portal.models import Ticket
from dss_portal.pages import addresses, forms
from dss_portal.pages.guards import only_signed_in, person
from dss_portal.pages.rendering import page, see_other
from dss_portal.refusals import Refused
from dss_portal.sending import lone_image
from dss_portal.services import store as services
from dss_portal.tickets import submission, submitting, titles
from dss_portal.tickets.reservation import Reservation
from dss_portal.web import uploads
from dss_portal.web.context import components

blueprint = Blueprint("sending", __name__, url_prefix=addresses.SEND)
blueprint.before_request(only_signed_in)


@blueprint.get("")
async def show() -> Response:
    return await _shown()


@blueprint.post("")
async def send() -> Response:
    """Take one NIfTI file from a browser without script, and submit it.  A refused file leaves nothing behind."""
    found = await person()
    try:
        number = await _sent(found) if found else 0
    except Refused as error:
        return await _shown(error.for_people, error.status)
    return await see_other(addresses.ticket(number), "The image was sent.")


async def _shown(problem: str = "", status: int = 200) -> Response:
    return await page("send.html", status, services=await services.listed(), problem=problem)


async def _sent(found: Identity) -> int:
    sent = await uploads.file_part()
    g.dss_form = forms.Form(fields=sent.fields)
    await forms.check(found)
    title, sent.name = sent.name, lone_image.stored_name(sent.name)
    settings, user = components().settings, current_user()
    quiet_s = settings.quiet_upload_s
    number = await submission.create(user, None, sent.fields.get("service", ""), quiet_s)
    try:
        ticket = await Ticket.get(id=number)
        reservation = Reservation(ticket, "input", sent, settings)
        scrubs, datastore = settings.scrub_inputs, components().datastore
        await submission.receive_file(datastore, reservation, user, scrubs=scrubs)
        await lone_image.add_workspace(datastore, settings, ticket, user)
        await titles.rename(number, user, title)
        await submitting.submit(datastore, number, user, scrubs=scrubs, quiet_s=quiet_s)
    except BaseException:
        await submission.delete(components().datastore, number, user)
        raise
    return number
