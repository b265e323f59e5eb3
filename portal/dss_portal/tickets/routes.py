"""``/api/tickets``: the API with which users of ITK-SNAP and of other clients create, submit and follow tickets."""

from collections.abc import AsyncIterator, Sequence

from quart import Blueprint, Response, request

from dss_datastore.layout import Area
from dss_portal.accounts.sessions import current_user, for_programs, signed_in
from dss_portal.changes.reading import Subject
from dss_portal.estimates.estimates import ServiceVersion, times_of
from dss_portal.formats import PAGE_ROWS, Cell, Rows, csv_text
from dss_portal.models import Status, Ticket
from dss_portal.refusals import Refused
from dss_portal.tickets import (
    checksums,
    creation_keys,
    downloads,
    progress,
    queue_places,
    received_files,
    store,
    submission,
    submitting,
    summaries,
    titles,
    views,
)
from dss_portal.tickets.reservation import Reservation
from dss_portal.tickets.views import LogLine
from dss_portal.web import parameters, uploads
from dss_portal.web.answers import enclosed, in_pages, long_table, plain, streamed, table
from dss_portal.web.context import components

blueprint = Blueprint("tickets", __name__, url_prefix="/api/tickets")


def _quiet_s() -> float:
    return components().settings.quiet_upload_s


async def _readable(ticket_id: int) -> Ticket:
    return await submission.readable(ticket_id, current_user())


@blueprint.get("")
@signed_in
async def listing() -> Response:
    return await long_table(("id", "service", "status"), store.listed(current_user().id))


@blueprint.get("/summary")
@signed_in
async def summary() -> Response:
    """A table of the user's tickets with names and times; the columns are ``summaries.COLUMNS``."""
    return await long_table(summaries.COLUMNS, summaries.of_user(current_user().id))


@blueprint.post("")
@signed_in
async def create() -> Response:
    form = await parameters.form()
    key = creation_keys.key_in(request.headers.get(creation_keys.HEADER), form)
    number = await submission.create(
        current_user(), form.get("githash"), form.get("name"), _quiet_s(), key
    )
    components().feed.publish(Subject.STATE, number, current_user().id)
    return plain(str(number))


@blueprint.get("/estimates")
@signed_in
async def estimates() -> Response:
    """A table of estimates for the user's waiting and claimed tickets, by number, at most PAGE_ROWS: the seconds until
    each begins and ends, empty if they are not known, and a sentence.
    """
    own = Ticket.filter(user_id=current_user().id, status__in=[Status.READY, Status.CLAIMED])
    columns = "id", "service_id", "service__name", "service__current"
    found = await own.order_by("id").limit(PAGE_ROWS).values_list(*columns)
    services = {
        int(str(number)): ServiceVersion(
            id=int(str(version)), name=str(name), current=bool(current)
        )
        for number, version, name, current in found
    }
    expected = await components().estimates.expected(services)
    rows: list[Sequence[Cell]] = [
        (number, *times_of(each.forecast), each.sentence) for number, each in expected.items()
    ]
    return table(("id", "begins_s", "ends_s", "sentence"), rows)


@blueprint.get("/<int:ticket_id>/files/<any(input, results):area>")
@signed_in
async def file_listing(ticket_id: int, area: Area) -> Response:
    """List the index and the name of each file in an area, always as CSV."""
    await _readable(ticket_id)
    rows = [(file.index, file.name) for file in await store.files(ticket_id, area)]
    return Response(csv_text(rows), content_type="text/csv")


@blueprint.post("/<int:ticket_id>/files/<any(input, results):area>")
@signed_in
async def upload(ticket_id: int, area: Area) -> Response:
    ticket = await _readable(ticket_id)
    sent = await uploads.file_part()
    reservation = Reservation(ticket, area, sent, components().settings)
    scrubs = components().settings.scrub_inputs
    await received_files.receive_file(
        components().datastore, reservation, current_user(), scrubs=scrubs
    )
    return plain("success")


@blueprint.get("/<int:ticket_id>/files/<any(input, results):area>/<int:index>")
@signed_in
async def download(ticket_id: int, area: Area, index: int) -> Response:
    await _readable(ticket_id)
    file = await store.file(ticket_id, area, index)
    path = await components().datastore.file(ticket_id, area, file.place)
    return await uploads.as_download(path, file.name)


@blueprint.get("/<int:ticket_id>/archive")
@signed_in
async def archive(ticket_id: int) -> Response:
    """All results as one ZIP archive, or the part of it that the request's Range header names."""
    return await downloads.archive(ticket_id)


@blueprint.get("/<int:ticket_id>/checksums")
@signed_in
async def result_checksums(ticket_id: int) -> Response:
    await _readable(ticket_id)
    rows = await checksums.of_results(components().datastore, ticket_id)
    return await long_table(checksums.COLUMNS, in_pages(rows))


@blueprint.get("/<int:ticket_id>/status")
@signed_in
async def status(ticket_id: int) -> Response:
    return plain((await _readable(ticket_id)).status.value)


@blueprint.post("/<int:ticket_id>/status")
@signed_in
async def set_status(ticket_id: int) -> Response:
    wanted = await parameters.required("status")
    if wanted != "ready":
        raise Refused(f"Changing ticket status to {wanted} is not supported")
    scrubs = components().settings.scrub_inputs
    await submitting.submit(
        components().datastore, ticket_id, current_user(), scrubs=scrubs, quiet_s=_quiet_s()
    )
    return plain("ready")


@blueprint.post("/<int:ticket_id>/title")
@signed_in
async def set_title(ticket_id: int) -> Response:
    """Set the title of the user's ticket; an empty ``title`` removes it."""
    await titles.rename(ticket_id, current_user(), await parameters.required("title"))
    return plain("success")


@blueprint.get("/<int:ticket_id>/log")
@signed_in
async def log_lines(ticket_id: int) -> Response:
    await _readable(ticket_id)
    pages = store.log_since(ticket_id, parameters.number("since", 0))
    return await long_table(views.LOG_COLUMNS, _log_rows(pages))


async def _log_rows(pages: AsyncIterator[list[LogLine]]) -> AsyncIterator[Rows]:
    async for lines in pages:
        yield [views.log_row(line) for line in lines]


@blueprint.get("/logs/<int:log_id>/attachments")
@signed_in
async def log_attachments(log_id: int) -> Response:
    found = await submission.readable_attachments(log_id, current_user())
    public_url = components().settings.public_url
    rows = [views.attachment_row(attachment, public_url) for attachment in found]
    return await long_table(views.ATTACHMENT_COLUMNS, in_pages(rows))


@blueprint.get("/<int:ticket_id>/progress")
@signed_in
async def progress_value(ticket_id: int) -> Response:
    await _readable(ticket_id)
    return plain(str(progress.total(await store.progress_chunks(ticket_id))))


@blueprint.get("/<int:ticket_id>/queuepos")
@signed_in
async def queue_position(ticket_id: int) -> Response:
    return plain(str(await queue_places.position(await _readable(ticket_id))))


@blueprint.get("/<int:ticket_id>/detail")
@signed_in
async def detail(ticket_id: int) -> Response:
    """The state, progress and log of a ticket as JSON, which ITK-SNAP polls every four seconds; only log lines with ids
    above ``since`` (all without it), and while the ticket waits, its place in the queue.
    """
    ticket = await _readable(ticket_id)
    log = store.log_since(ticket_id, parameters.number("since", 0))
    done = progress.shown(ticket.status, await store.progress_chunks(ticket_id))
    place = await queue_places.place(ticket)
    public_url = components().settings.public_url
    begin, end = views.detail_around_log(ticket.status, done, place)
    return await streamed(enclosed(begin, _log_objects(log, public_url), end), "application/json")


async def _log_objects(
    pages: AsyncIterator[list[LogLine]], public_url: str
) -> AsyncIterator[Sequence[object]]:
    async for lines in pages:
        yield [views.log_object(line, public_url) for line in lines]


@blueprint.get("/<int:ticket_id>/retry")
@signed_in
@for_programs
async def retry(ticket_id: int) -> Response:
    await submission.retry(components().datastore, ticket_id, current_user(), _quiet_s())
    return plain("ready")


@blueprint.get("/<int:ticket_id>/delete")
@signed_in
@for_programs
async def delete(ticket_id: int) -> Response:
    await submission.delete(components().datastore, ticket_id, current_user())
    return plain("deleted")
