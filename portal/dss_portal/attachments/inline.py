"""Attachments that a page may display itself: pictures, and short texts and tables as plain text.

No attachment is interpreted as markup: a picture is shown by an ``img`` element, a text is escaped.
"""

import asyncio
import csv
from collections.abc import Iterable
from dataclasses import dataclass

from dss_portal.datastore import Datastore
from dss_portal.datastore.stored import content_of
from dss_portal.models import Attachment

PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""Media types that pages show as pictures.  SVG is not one of them, because it is markup and may contain scripts."""
TEXTS = frozenset({"text/plain", "text/csv"})
"""Media types that pages show as text or table.  JSON is not one of them, because it is meant for programs."""
MOST_BYTES = 64 * 1024
MOST_SHOWN = 12
MOST_ROWS, MOST_COLUMNS = 200, 20


@dataclass(frozen=True, kw_only=True)
class InlineAttachment:
    """An attachment for display: a ``table`` whose first row is its header, or, if ``table`` is empty, a ``text``."""

    attachment: Attachment
    text: str = ""
    table: tuple[tuple[str, ...], ...] = ()


def is_picture(attachment: Attachment) -> bool:
    return _type_of(attachment) in PICTURES


def pictures(found: Iterable[Attachment]) -> list[Attachment]:
    """The last MOST_SHOWN pictures among ``found``."""
    return [each for each in found if is_picture(each)][-MOST_SHOWN:]


async def inline_attachments(
    datastore: Datastore, found: Iterable[Attachment]
) -> list[InlineAttachment]:
    """The text attachments among ``found``, with their content.  At most MOST_SHOWN; files above MOST_BYTES and missing
    files are left out.
    """
    texts = [a for a in found if _type_of(a) in TEXTS and a.size_bytes <= MOST_BYTES]
    read = [await _inline_attachment(datastore, attachment) for attachment in texts[:MOST_SHOWN]]
    return [each for each in read if each is not None]


async def _inline_attachment(
    datastore: Datastore, attachment: Attachment
) -> InlineAttachment | None:
    stored = await datastore.attachment(attachment.ticket_id, attachment.file_name)
    try:
        content = await asyncio.to_thread(content_of, stored)
    except FileNotFoundError:
        return None
    text = content.decode("utf-8", "replace")
    table = _table(text) if _type_of(attachment) == "text/csv" else ()
    return InlineAttachment(attachment=attachment, text="" if table else text, table=table)


def _table(text: str) -> tuple[tuple[str, ...], ...]:
    """The rows of a CSV text, padded to the same length; () if ``text`` is no table, or one too large to display."""
    try:
        rows = [tuple(row) for row in csv.reader(text.splitlines()) if row]
    except csv.Error:
        return ()
    widest = max((len(row) for row in rows), default=0)
    if not rows or len(rows) > MOST_ROWS or widest > MOST_COLUMNS:
        return ()
    return tuple(row + ("",) * (widest - len(row)) for row in rows)


def _type_of(attachment: Attachment) -> str:
    return attachment.mime_type.partition(";")[0].strip().lower()
