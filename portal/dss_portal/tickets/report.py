"""Writes the report of a ticket as one HTML file without scripts or links, for services whose descriptor asks for it
(``"report": "html"``).

The report is attached to a line of the ticket's log, so that ITK-SNAP shows it too.  It does not contain the title that
the owner gave to the ticket, because everyone who has the link of an attachment can read it.
"""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator

from jinja2 import Environment, PackageLoader

from dss_broker.descriptor import Report
from dss_portal.admin import overview
from dss_portal.attachments import inline
from dss_portal.attachments import store as attachments
from dss_portal.attachments.store import ReceivedFile
from dss_portal.datastore import Datastore
from dss_portal.datastore.stored import content_of
from dss_portal.models import Attachment, Service, Ticket
from dss_portal.tickets import segmentation_facts, store
from dss_portal.tickets.page_view import SHOWN_LINES, attached_files, newest_picture, warnings

log = logging.getLogger(__name__)

LINE = "The report shows the picture, the volumes and the warnings of this ticket."
_MOST_PICTURE_BYTES = 4 * 1024 * 1024
_TEMPLATES = Environment(loader=PackageLoader("dss_portal", "pages/templates"), autoescape=True)


async def attach(datastore: Datastore, ticket: Ticket) -> None:
    """Attach the report to a new line in the log of a ticket that is about to succeed, if its service asks for one.
    Call it within the transaction that ends the ticket.

    If the report cannot be written to disk, the error is logged, and the ticket succeeds without a report.
    """
    service = await Service.get(id=ticket.service_id)
    if service.descriptor.get("report") != Report.HTML:
        return
    content = await _written(datastore, ticket, service)
    try:
        path, size_bytes = await datastore.receive_attachment(ticket.id, _once(content))
    except OSError:
        log.exception("report not attached", extra={"ticket": ticket.id})
        return
    received = ReceivedFile(
        path=path,
        size_bytes=size_bytes,
        description="Report",
        mime_type="text/html",
        suffix=".html",
    )
    await attachments.keep(datastore, ticket.id, received)
    await store.add_log(ticket.id, "info", LINE)


async def _written(datastore: Datastore, ticket: Ticket, service: Service) -> bytes:
    lines = await store.newest_log(ticket.id, SHOWN_LINES)
    history = await overview.history(ticket.id)
    attached = attached_files(lines, history)
    labels = await segmentation_facts.labels(ticket.id)
    text = await asyncio.to_thread(
        _TEMPLATES.get_template("report.html").render,
        ticket=ticket,
        service=service,
        ended_at=store.now(),
        warnings=warnings(lines, history),
        picture=await _as_data(datastore, newest_picture(attached)),
        labels=labels,
        total_ml=sum(label.volume_ml for label in labels),
        reports=await inline.inline_attachments(datastore, attached),
    )
    return text.encode()


async def _as_data(datastore: Datastore, picture: Attachment | None) -> str:
    """The picture as a ``data:`` URL; "" if there is no picture, if its file cannot be read, or if it has more than
    _MOST_PICTURE_BYTES.
    """
    if picture is None or picture.size_bytes > _MOST_PICTURE_BYTES:
        return ""
    stored = await datastore.attachment(picture.ticket_id, picture.file_name)
    try:
        content = await asyncio.to_thread(content_of, stored)
    except OSError:
        return ""
    kind = picture.mime_type.partition(";")[0].strip().lower()
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
