"""``/api/pro``: the API with which external providers find, claim and process tickets."""

from functools import partial

from quart import Blueprint, Response
from tortoise.transactions import in_transaction

from dss_datastore.layout import Area
from dss_portal import forms
from dss_portal.accounts.sessions import current_user, signed_in
from dss_portal.attachments import store as attachments
from dss_portal.changes.reading import Subject
from dss_portal.formats import csv_text
from dss_portal.models import Ticket
from dss_portal.providers import announcements, claiming, completion, keys, store, writing
from dss_portal.refusals import Refused
from dss_portal.tickets import claims, files, progress, received_files
from dss_portal.tickets import store as tickets
from dss_portal.web import parameters, uploads
from dss_portal.web.answers import json_body, plain, table
from dss_portal.web.context import components

blueprint = Blueprint("providers", __name__, url_prefix="/api/pro")

_AREA = "<any(input, results):area>"


@blueprint.get("/services")
@signed_in
async def services() -> Response:
    found = await store.services_of(current_user())
    rows = [(s.name, s.version, s.githash, provider) for s, provider in found]
    return table(("name", "version", "githash", "provider"), rows)


@blueprint.get("/services/<regex('[a-f0-9]+'):githash>/detail")
@signed_in
async def detail(githash: str) -> Response:
    """The descriptor of a service that the user provides, as users read it: JSON without an object around it."""
    (service,) = await store.require_provided(current_user(), [githash])
    return json_body(service.descriptor)


@blueprint.post("/services/<regex('[a-f0-9]+'):githash>/claims")
@signed_in
async def claim_one(githash: str) -> Response:
    """Claim a ticket of the service and respond with the ticket's number, or -1 if no ticket waits."""
    ticket = await _claim([githash], await parameters.form())
    return plain("-1" if ticket is None else str(ticket[0]))


@blueprint.post("/services/claims")
@signed_in
async def claim_any() -> Response:
    """Claim a ticket of any of the listed services.

    Responds with one row about the ticket, or with the word ``None`` if no ticket waits, because the Python client
    compares with it.
    """
    form = await parameters.form()
    row = await _claim(_listed(form), form)
    if row is None:
        return plain("None")
    return table(claiming.COLUMNS, [row], wants_json=form.get("format") == "json")


@blueprint.post("/services/available")
@signed_in
async def available() -> Response:
    """List those of the given services that have waiting tickets, with their number; the body is empty if there are
    none.
    """
    form = await parameters.form()
    services = await store.require_provided(current_user(), _listed(form))
    await store.record_sign_of_life(services)
    columns = ("service_githash", "service_name", "ready_tickets")
    rows = await store.waiting(services)
    return table(columns, rows, wants_json=form.get("format") == "json")


@blueprint.post("/publishers")
@signed_in
async def announce() -> Response:
    """Record the announcement of a program (a publisher) that it serves the listed services; with ``ends=1``, that it
    claims no more tickets of them.

    With ``others=1``, the response is the number of other live programs that serve any of them.
    """
    user, form = current_user(), await parameters.form()
    services = await store.require_provided(user, _listed(form))
    announcement = announcements.read(form)
    await announcements.record(user, services, announcement)
    if form.get("others") == "1":
        return plain(str(await announcements.others(user, services, announcement)))
    return plain("success")


@blueprint.get("/tickets/<int:ticket_id>/status")
@signed_in
async def status(ticket_id: int) -> Response:
    """Respond with the ticket's status.  If the user holds the ticket's claim, its lease is renewed."""
    ticket = await store.require_visible(ticket_id, current_user())
    if ticket.claim_id is not None:
        await claims.renew_for(ticket.claim_id, current_user().id)
    await _heard(ticket, await parameters.form())
    return plain(ticket.status.value)


@blueprint.post("/tickets/<int:ticket_id>/status")
@signed_in
async def finish(ticket_id: int) -> Response:
    """End the user's claim as ``success`` or ``failed``.  For ``success``, the response comes after the check of the
    results.
    """
    user = current_user()
    ticket = await store.require_ever_claimed(ticket_id, user)
    form = await parameters.form()
    outcome = forms.of(form, "status")
    if outcome not in {"success", "failed"}:
        raise Refused(f"Cannot set status of ticket to {outcome}")
    if outcome == "success":
        await completion.succeed(components(), ticket_id, user)
    else:
        await completion.fail(ticket_id, user)
    await _heard(ticket, form)  # the program claims its next ticket later
    return plain(outcome)


@blueprint.get(f"/tickets/<int:ticket_id>/files/{_AREA}")
@signed_in
async def file_listing(ticket_id: int, area: Area) -> Response:
    ticket = await store.require_ever_claimed(ticket_id, current_user())
    await _sign_of_life(ticket.claim_id)
    rows = [(file.index, file.name) for file in await tickets.files(ticket_id, area)]
    return Response(csv_text(rows), content_type="text/csv")


@blueprint.get(f"/tickets/<int:ticket_id>/files/{_AREA}/<int:index>")
@signed_in
async def download(ticket_id: int, area: Area, index: int) -> Response:
    ticket = await store.require_ever_claimed(ticket_id, current_user())
    await _sign_of_life(ticket.claim_id)
    file = await tickets.file(ticket_id, area, index)
    path = await components().datastore.file(ticket_id, area, file.place)
    return await uploads.as_download(path, file.name)


@blueprint.post(f"/tickets/<int:ticket_id>/files/{_AREA}")
@signed_in
async def upload(ticket_id: int, area: Area) -> Response:
    user, datastore = current_user(), components().datastore
    await store.require_claim(ticket_id, user)
    sent = await uploads.file_part()
    files.check_name(area, sent.name)
    async with files.receiving_file(
        datastore, ticket_id, partial(store.require_claim, ticket_id, user)
    ):
        temporary, size_bytes = await datastore.receive(ticket_id, area, sent.data)
        try:
            await datastore.send(temporary)
            async with in_transaction():
                _, claim = await store.lock_held_ticket(ticket_id, user)
                await files.check_twin(ticket_id, area, sent.name)
                await received_files.store_file(
                    datastore,
                    ticket_id,
                    area,
                    temporary,
                    name=sent.name,
                    size_bytes=size_bytes,
                    folder=store.folder_of(claim, area),
                )
                await claims.renew(claim.id)
        finally:
            datastore.discard(temporary)
    return plain("success")


@blueprint.post("/tickets/<int:ticket_id>/<any(info, warning, error):category>")
@signed_in
async def add_log(ticket_id: int, category: str) -> Response:
    """Add a line to the ticket's log and respond with its number.  If a request with the same ``key`` has added the
    line before, respond with the number of that line.
    """
    user = current_user()
    try:
        form = await parameters.form()
        message, message_id = forms.of(form, "message"), keys.of_line(ticket_id, form)
    except Refused:
        await store.require_ever_claimed(ticket_id, user)  # its refusal takes precedence
        raise
    number = await writing.add_log(ticket_id, user.id, category, message, message_id)
    if number is None:
        async with in_transaction():
            _, claim = await store.lock_held_ticket(ticket_id, user)
            number = await tickets.add_log(ticket_id, category, message, message_id)
            await claims.renew(claim.id)
    return plain(str(number))


@blueprint.post("/tickets/<int:ticket_id>/attachments")
@signed_in
async def attach(ticket_id: int) -> Response:
    """Store an attachment and respond with its number.  It will belong to the next line that is added to the log."""
    user, datastore = current_user(), components().datastore
    await store.require_claim(ticket_id, user)
    sent = await uploads.file_part()
    async with files.receiving_file(
        datastore, ticket_id, partial(store.require_claim, ticket_id, user)
    ):
        received = await attachments.receive(datastore, ticket_id, sent)
        try:
            await datastore.send(received.path)
            async with in_transaction():
                _, claim = await store.lock_held_ticket(ticket_id, user)
                number = await attachments.keep(datastore, ticket_id, received)
                await claims.renew(claim.id)
        finally:
            datastore.discard(received.path)
    return plain(str(number))


@blueprint.get("/tickets/<int:ticket_id>/progress")
@signed_in
async def progress_value(ticket_id: int) -> Response:
    await store.require_ever_claimed(ticket_id, current_user())
    return plain(str(progress.total(await tickets.progress_chunks(ticket_id))))


@blueprint.post("/tickets/<int:ticket_id>/progress")
@signed_in
async def set_progress(ticket_id: int) -> Response:
    """Store the progress (0..1) of the part of the work from ``chunk_start`` to ``chunk_end``; the progress 0 deletes
    what is stored for that part and for parts inside it.  Also renews the user's claim.  Raises Refused if the user does
    not hold the ticket's claim, or if a value is not a number from 0 to 1.
    """
    user = current_user()
    try:
        form = await parameters.form()
        start, end, done = (
            forms.fraction(form, name) for name in ("chunk_start", "chunk_end", "progress")
        )
    except Refused:
        await store.require_ever_claimed(ticket_id, user)  # its refusal takes precedence
        raise
    polls = not announcements.announces_itself(form)
    if done and await writing.set_progress(ticket_id, user.id, start, end, done, polls=polls):
        return plain("success")
    async with in_transaction():
        ticket, claim = await store.lock_held_ticket(ticket_id, user)
        if done == 0:
            await tickets.clear_progress(ticket_id, start, end)
        else:
            await tickets.set_progress(ticket_id, start, end, done)
        await claims.renew(claim.id)
        await _heard(ticket, form)
    return plain("success")


async def _claim(githashes: list[str], form: dict[str, str]) -> tuple[int, str, str] | None:
    """Claim a ticket and return its number, service hash and status; None if none waits.

    A repeated request with the same ``key`` gets the same ticket, as long as its claim lasts.
    """
    user = current_user()
    keys.key_of(form)  # its refusal takes precedence
    if "provider" not in form:
        await store.record_sign_of_life(
            await store.require_provided(user, githashes)
        )  # its refusal takes precedence
    lease_s = components().settings.provider_lease_s
    granted = await components().claim_batcher.ask(
        claiming.claim_request(user.id, githashes, form, lease_s)
    )
    if granted.ticket is not None:
        components().feed.publish(Subject.STATE, granted.ticket.id, granted.ticket.user_id)
    return granted.row()


async def _heard(ticket: Ticket, form: dict[str, str]) -> None:
    """Record a sign of life of a program for the ticket's service, unless the form says that the program announces
    itself.
    """
    if not announcements.announces_itself(form):
        await store.record_sign_of_life([await ticket.service])


def _listed(form: dict[str, str]) -> list[str]:
    return forms.of(form, "services").split(",")


async def _sign_of_life(claim_id: str | None) -> None:
    if claim_id is not None:
        await claims.renew_for(claim_id, current_user().id)
