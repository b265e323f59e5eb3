"""The API for sending without a workspace: ``/api/tickets/N/intake`` and ``/api/batch`` for browsers,
``/api/tickets/N/workspace`` for a single image.
"""

from dataclasses import asdict

from quart import Blueprint, Response

from dss_portal import forms
from dss_portal.accounts.sessions import current_user, signed_in
from dss_portal.intake import placing, requests
from dss_portal.intake import store as intakes
from dss_portal.sending import batch, lone_image
from dss_portal.tickets import submission, titles
from dss_portal.web import parameters
from dss_portal.web.answers import json_body, plain
from dss_portal.web.context import components

blueprint = Blueprint("workspaces", __name__, url_prefix="/api")


@blueprint.post("/tickets/<int:ticket_id>/workspace")
@signed_in
async def add(ticket_id: int) -> Response:
    """Write the workspace of a ticket whose only input is a NIfTI file; if there is a workspace, write none.  The
    parameter ``title``, if given, becomes the ticket's title in both cases.
    """
    ticket = await submission.readable(ticket_id, current_user())
    title = (await parameters.form()).get("title", "")
    await lone_image.add_workspace(
        components().datastore, components().settings, ticket, current_user()
    )
    if title:
        await titles.rename(ticket_id, current_user(), title)
    return plain("success")


@blueprint.post("/tickets/<int:ticket_id>/intake")
@signed_in
async def declare(ticket_id: int) -> Response:
    """Declare which files will be uploaded to the ticket, and to which image each belongs.  When all are uploaded, a
    program reads them and the ticket is queued.
    """
    await submission.readable(ticket_id, current_user())
    form = await parameters.form()
    request = requests.decoded(forms.of(form, "request"))
    await intakes.declare(ticket_id, current_user(), request, form.get("title", ""))
    await _go_on(ticket_id)
    return plain("success")


@blueprint.get("/tickets/<int:ticket_id>/intake")
@signed_in
async def show(ticket_id: int) -> Response:
    """Respond with the state of a browser's upload to the ticket: ``state``, ``sentence`` and ``series``; they are
    empty if there is no such upload.
    """
    await submission.readable(ticket_id, current_user())
    intake = await intakes.find(ticket_id)
    if intake is None:
        return json_body({"result": {"state": "", "sentence": "", "series": []}})
    series = [asdict(found) for found in intakes.series_of(intake)]
    shown = {"state": intake.state, "sentence": await intakes.sentence(intake), "series": series}
    return json_body({"result": shown})


@blueprint.get("/batch")
@signed_in
async def listed() -> Response:
    """List the cases in the user's batch, with their states."""
    return json_body({"result": [asdict(row) for row in await batch.rows(current_user())]})


@blueprint.post("/batch")
@signed_in
async def put() -> Response:
    """Add the cases in the parameter ``cases``, a JSON list, to the user's batch, or change those with the same key."""
    await batch.put(current_user(), await parameters.required("cases"))
    return plain("success")


@blueprint.post("/batch/remove")
@signed_in
async def remove() -> Response:
    """Remove the cases with the keys in the parameter ``keys``, a JSON list, from the user's batch; without it, all
    cases whose tickets have ended.
    """
    await batch.remove(current_user(), (await parameters.form()).get("keys", ""))
    return plain("success")


async def _go_on(ticket_id: int) -> None:
    await placing.continue_ticket(components().datastore, components().settings, ticket_id)
