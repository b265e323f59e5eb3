"""Downloads for the web pages and the API: all results of a ticket as one ZIP archive, and the volumes of its labels as
CSV.
"""

import hashlib
from datetime import UTC, datetime

from quart import Response, request

from dss_portal.accounts.sessions import current_user
from dss_portal.datastore import Datastore
from dss_portal.formats import csv_text
from dss_portal.patches.quart import requested
from dss_portal.refusals import Refused
from dss_portal.tickets import segmentation_facts, store, submission
from dss_portal.web.context import components
from dss_portal.web.zip_archive import Archive, ArchiveMember
from dss_workspace.cells import cell


async def archive(ticket_id: int) -> Response:
    """The response with the ZIP archive of all results of a ticket or, if the request has a Range header, with that
    part of the archive.

    Raises Refused if the user may not read the ticket, if it has no results (404), or if a file of them is missing;
    and Werkzeug's RequestedRangeNotSatisfiable if the range lies outside of the archive (416).
    """
    await submission.readable(ticket_id, current_user())
    members = await _members(components().datastore, ticket_id)
    if not members:
        raise Refused(f"Ticket {ticket_id} has no results to download.", 404)
    return _sent(Archive(members), _tag(members), f"ticket_{ticket_id:08d}.zip")


async def volumes(ticket_id: int) -> Response:
    """The response with a CSV table of the ticket's labels, with a header line: value, name, and volume in millilitres.
    Raises Refused if the user may not read the ticket.
    """
    await submission.readable(ticket_id, current_user())
    found = await segmentation_facts.labels(ticket_id)
    rows = [(label.value, cell(label.name), label.volume_ml) for label in found]
    answer = Response(csv_text([("label", "name", "volume_ml"), *rows]), content_type="text/csv")
    name = f"ticket_{ticket_id:08d}_volumes.csv"
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


async def _members(datastore: Datastore, ticket_id: int) -> list[ArchiveMember]:
    """The result files as members of the archive, in a folder that is named after the ticket, so that several archives
    can be unpacked in one place; empty if there are no results.  Raises Refused if a file is missing.
    """
    files = await store.files(ticket_id, "results")
    stamps = await datastore.stamps(ticket_id, "results", [file.place for file in files])
    return [
        ArchiveMember(
            name=f"ticket_{ticket_id:08d}/{file.name}",
            file=await datastore.file(ticket_id, "results", file.place),
            size_bytes=stamps[file.place][1],
            changed_at=datetime.fromtimestamp(stamps[file.place][2] / 1e9, UTC),
        )
        for file in files
    ]


def _tag(members: list[ArchiveMember]) -> str:
    facts = "\n".join(f"{m.name} {m.size_bytes} {m.changed_at.timestamp()}" for m in members)
    return hashlib.sha256(facts.encode()).hexdigest()[:32]


def _sent(made: Archive, tag: str, name: str) -> Response:
    size = made.size_bytes
    first, stop = _range(size, tag)
    is_part = (first, stop) != (0, size)
    answer = Response(
        made.read(first, stop), 206 if is_part else 200, content_type="application/zip"
    )
    answer.timeout = None  # a download over a slow connection may take long
    answer.headers["Content-Length"] = str(stop - first)
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    answer.headers["Accept-Ranges"] = "bytes"
    answer.set_etag(tag)
    if is_part:
        answer.headers["Content-Range"] = f"bytes {first}-{stop - 1}/{size}"
    return answer


def _range(size: int, tag: str) -> tuple[int, int]:
    """The part of an archive of ``size`` bytes that the request asks for: the offsets of its first byte and of the byte
    after its last.

    It is the whole archive if the request has no Range header, or an If-Range header with a date or another version
    than ``tag``.  Raises Werkzeug's RequestedRangeNotSatisfiable (416) if the range lies outside.
    """
    wanted, condition = request.range, request.if_range
    if wanted is None or condition.etag not in {None, tag} or condition.date is not None:
        return 0, size
    begin, end = wanted.ranges[0]
    return requested(begin, end, size)
