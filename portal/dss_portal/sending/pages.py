"""``/send``: the page for sending images and workspaces from a browser.  With its script it sends several cases; in a
browser without scripts, one image.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from quart import Blueprint, Response, g, request

from dss_portal.accounts.sessions import Identity, current_user
from dss_portal.estimates.durations import TicketSize
from dss_portal.estimates.estimates import NewTicketEstimate
from dss_portal.estimates.runs import MOST_VOXELS
from dss_portal.incoming import Incoming
from dss_portal.intake import store as intakes
from dss_portal.intake.requests import ExpectedFile, Request, further_tags, unfit
from dss_portal.models import Service, Status, Ticket, TicketFile, User
from dss_portal.pages import addresses, forms
from dss_portal.pages.guards import only_signed_in, person
from dss_portal.pages.rendering import page, see_other
from dss_portal.refusals import Refused
from dss_portal.sending.suffixes import suffix_of
from dss_portal.services import store as services
from dss_portal.services.liveness import MissingProgram
from dss_portal.tickets import received_files, submission
from dss_portal.tickets.reservation import Reservation
from dss_portal.web import uploads
from dss_portal.web.context import components

blueprint = Blueprint("sending", __name__, url_prefix=addresses.SEND)
blueprint.before_request(only_signed_in)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A service that the user may choose.  ``further`` are the tags that images besides the main one may get; ``unfit``
    is a sentence that says why images alone are not enough for it, "" if they are.  ``estimate`` is None if no program
    has ever served it.
    """

    service: Service
    further: list[dict[str, object]]
    unfit: str
    estimate: NewTicketEstimate | None


@blueprint.get("")
async def show() -> Response:
    return await _shown()


@blueprint.post("")
async def send() -> Response:
    """Receive the form with one image from a browser without scripts, have it read, and redirect to its ticket.  If it
    is refused, the page is shown again with the reason.
    """
    found = await person()
    try:
        number = await _sent(found) if found else 0
    except Refused as error:
        return await _shown(error.for_people, error.status)
    return await see_other(addresses.ticket(number), "The image was sent.")


async def _shown(problem: str = "", status: int = 200) -> Response:
    """The page, with the sentence ``problem`` if the image was refused.  With ``?ticket=N`` it replaces the files of
    that ticket; with ``?voxels=N`` its estimates are for an image of that size.
    """
    replaced = await _replaced(request.args.get("ticket", ""))
    offered = [await replaced.service] if replaced else await services.listed()
    return await page(
        "send.html",
        status,
        choices=await _choices(offered),
        replaced=replaced,
        is_read=await intakes.is_read_now(),
        problem=problem,
    )


async def _choices(offered: Sequence[Service]) -> list[Choice]:
    """The services to choose from.  Those that lack a program at present, or that none has ever served, come last."""
    estimates = await components().estimates.offers(current_user(), _size())
    choices = [
        Choice(
            service=each,
            further=further_tags(each),
            unfit=unfit(each),
            estimate=estimates.of(each),
        )
        for each in offered
    ]
    return sorted(
        choices, key=lambda c: c.estimate is None or c.estimate.missing is not MissingProgram.NONE
    )


def _size() -> TicketSize | None:
    """The size of the image that ``?voxels=N`` states; None if it states none, for the usual size of each service."""
    text = request.args.get("voxels", "")
    voxels = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
    return TicketSize(voxels=voxels, size_bytes=0) if 0 < voxels < MOST_VOXELS else None


async def _replaced(number: str) -> Ticket | None:
    """The user's ticket with that number, if it is not submitted yet, so that files can be sent for it; otherwise None."""
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        return None
    user = current_user()
    return await Ticket.get_or_none(id=int(number), user_id=user.id, status=Status.INIT)


async def _sent(found: Identity) -> int:
    """Receive the form with one image and have it read.  Returns the number of its ticket, which is created unless the
    form names one to replace.  If the image is refused, or its upload fails, a ticket that was created is deleted.
    """
    sent = await uploads.file_part()
    g.dss_form = forms.Form(fields=sent.fields)
    await forms.check(found)
    title, sent.name = sent.name, f"upload-{uuid.uuid4().hex[:8]}{suffix_of(sent.name)}"
    settings, user = components().settings, current_user()
    earlier = await _replaced(sent.fields.get("ticket", ""))
    if earlier:
        number = earlier.id
    else:
        service = sent.fields.get("service", "")
        if not service:
            raise Refused("Choose a service.")
        number = await submission.create(user, None, service, settings.quiet_upload_s)
    try:
        await _receive(number, sent, user, title)
    except BaseException:
        if not earlier:
            await submission.delete(components().datastore, number, user)
        raise
    return number


async def _receive(number: int, sent: Incoming, user: User, title: str) -> None:
    datastore, settings = components().datastore, components().settings
    reservation = Reservation(await Ticket.get(id=number), "input", sent, settings)
    await received_files.receive_file(datastore, reservation, user, scrubs=False)
    stored = await TicketFile.get(ticket_id=number, area="input", name=sent.name)
    file = ExpectedFile(name=sent.name, size_bytes=stored.size_bytes)
    intake_request = Request(files=(file,), series=sent.fields.get("series", ""))
    await intakes.declare(number, user, intake_request, title)
