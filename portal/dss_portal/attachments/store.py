"""Stores and finds files that are attached to lines of a ticket's log."""

import logging
import mimetypes
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dss_broker.messages import AttachedFile
from dss_portal.datastore import Datastore
from dss_portal.datastore.names import flat_name
from dss_portal.incoming import Incoming
from dss_portal.models import Attachment, Status
from dss_portal.refusals import Refused

log = logging.getLogger(__name__)

_MIME_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(\s*;\s*[\w-]+=[\w.+-]+)*", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class ReceivedFile:
    """A temporary file in the datastore, with the properties of the attachment that ``keep`` makes of it."""

    path: Path
    size_bytes: int
    description: str
    mime_type: str
    suffix: str


async def receive(datastore: Datastore, ticket_id: int, sent: Incoming) -> ReceivedFile:
    """Receive an upload of a provider: write the file to a temporary file, and read the form's other fields.  Raises
    Refused if ``desc`` is missing, the file is too large or the disk is full.
    """
    path, size_bytes = await datastore.receive_attachment(ticket_id, sent.data)
    if "desc" not in sent.fields:
        datastore.discard(path)
        raise Refused("Missing 'desc' parameter")
    return ReceivedFile(
        path=path,
        size_bytes=size_bytes,
        description=sent.fields["desc"],
        mime_type=mime_type(sent.name, sent.fields.get("mime_type")),
        suffix=suffix(sent.name),
    )


async def take_over(
    datastore: Datastore, ticket_id: int, claim_id: str, file: AttachedFile
) -> None:
    """Make an attachment of a file that a dispatcher has written, within the caller's transaction.

    A missing file is skipped, because it was removed together with its claim.
    """
    name = flat_name(file.name)
    try:
        path, size_bytes = await datastore.take_attached(ticket_id, claim_id, name)
    except FileNotFoundError:
        facts = {"ticket": ticket_id, "claim": claim_id, "file": name}
        log.warning("attached file is not there", extra=facts)
        return
    received = ReceivedFile(
        path=path,
        size_bytes=size_bytes,
        description=file.description,
        mime_type=mime_type(name, file.mime_type),
        suffix=suffix(name),
    )
    await keep(datastore, ticket_id, received)


async def keep(datastore: Datastore, ticket_id: int, received: ReceivedFile) -> int:
    """Make an attachment of the ticket from a received file, within the caller's transaction, and return the
    attachment's number.
    """
    public_id = uuid.uuid4().hex
    name = f"{public_id}{received.suffix}"
    await datastore.keep(received.path, name)
    made = await Attachment.create(
        ticket_id=ticket_id,
        public_id=public_id,
        description=received.description,
        mime_type=received.mime_type,
        file_name=name,
        size_bytes=received.size_bytes,
    )
    return int(made.id)


async def of_lines(log_ids: Iterable[int]) -> dict[int, list[Attachment]]:
    """The attachments of log lines, by the line's number."""
    found: dict[int, list[Attachment]] = {}
    for attachment in await Attachment.filter(log_id__in=list(log_ids)).order_by("id"):
        found.setdefault(attachment.log_id or 0, []).append(attachment)
    return found


async def by_public_id(public_id: str) -> Attachment:
    """The attachment, with its ticket.  Raises Refused if there is none, or if its ticket was deleted."""
    found = await Attachment.get_or_none(public_id=public_id).select_related("ticket")
    if found is None or found.ticket.status is Status.DELETED:
        raise Refused(
            f"Resource {public_id} not found",
            for_people="This file is not here, or no longer: its ticket may have been deleted.",
            page_status=404,
        )
    return found


def suffix(name: str) -> str:
    """The file name from its first dot on, such as .nii.gz, cut to 32 characters; "" if there is none."""
    return "".join(name.partition(".")[1:])[:32]


def mime_type(name: str, sent: str | None) -> str:
    """The media type ``sent`` if it is well-formed, or else the type that the file name suggests;
    application/octet-stream if it suggests none.
    """
    if sent and _MIME_TYPE.fullmatch(sent):
        return sent
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
