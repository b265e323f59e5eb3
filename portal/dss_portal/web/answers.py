"""Builds HTTP responses in the formats that ITK-SNAP can parse: plain text, CSV and JSON."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence

from quart import Response, request
from werkzeug.datastructures import MultiDict

from dss_portal.formats import PAGE_ROWS, Cell, Rows, csv_text

WHOLE_CHARACTERS = 256 * 1024


def plain(text: str, status: int = 200) -> Response:
    """A response with plain text and without a Content-Type, as existing clients expect."""
    answer = Response(text, status=status)
    answer.headers.pop("Content-Type", None)
    return answer


def json_body(value: object) -> Response:
    """A response with ``value`` as JSON, formatted as ``json.dumps`` does it by default."""
    return Response(json.dumps(value), content_type="application/json")


def asks_for_json(query: MultiDict[str, str]) -> bool:
    """True if the query's last parameter called ``format`` has the value ``json``."""
    return (query.getlist("format") or [""])[-1] == "json"


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, wants_json: bool | None = None
) -> Response:
    """A response with a table: as CSV without a header line, or as JSON ``{"result": [...]}`` with an object for each
    row.

    ``wants_json`` chooses; if it is None, the table is JSON if the request has ``format=json``.
    """
    if wants_json is None:
        wants_json = asks_for_json(request.args)
    if wants_json:
        return json_body({"result": [dict(zip(columns, row, strict=True)) for row in rows]})
    return Response(csv_text(rows), content_type="text/csv")


async def long_table(
    columns: Sequence[str], pages: AsyncIterator[Rows], *, wants_json: bool | None = None
) -> Response:
    """A response with a table of any length, whose rows come in ``pages``: as CSV without a header line, or as JSON
    ``{"result": [...]}`` with an object for each row.  Other requests are served between two pages.

    ``wants_json`` chooses; if it is None, the table is JSON if the request has ``format=json``.
    """
    if wants_json is None:
        wants_json = asks_for_json(request.args)
    if wants_json:
        objects = _objects(columns, pages)
        return await streamed(enclosed('{"result": [', objects, "]}"), "application/json")
    return await streamed(_csv_pieces(pages), "text/csv")


async def in_pages(rows: Sequence[Sequence[Cell]]) -> AsyncIterator[Rows]:
    """Yield ``rows`` in pages of PAGE_ROWS, as ``long_table`` expects them."""
    for start in range(0, len(rows), PAGE_ROWS):
        yield rows[start : start + PAGE_ROWS]


async def streamed(pieces: AsyncIterator[str], content_type: str) -> Response:
    """A response with the text ``pieces``.  Up to WHOLE_CHARACTERS characters it has a Content-Length; a longer one is
    sent piece by piece, without a Content-Length.
    """
    begun: list[str] = []
    async for piece in pieces:
        begun.append(piece)
        if sum(map(len, begun)) > WHOLE_CHARACTERS:
            return Response(_rest(begun, pieces), content_type=content_type)
    return Response("".join(begun), content_type=content_type)


async def enclosed(
    begin: str, objects: AsyncIterator[Sequence[object]], end: str
) -> AsyncIterator[str]:
    """Yield the pieces of a JSON text: ``begin``, then all objects of all lists in ``objects``, separated by a comma
    and a blank, then ``end``.
    """
    yield begin
    separator = ""
    async for some in objects:
        if some:
            yield separator + json.dumps(some)[1:-1]
            separator = ", "
        await asyncio.sleep(0)
    yield end


async def _objects(
    columns: Sequence[str], pages: AsyncIterator[Rows]
) -> AsyncIterator[Sequence[object]]:
    async for page in pages:
        yield [dict(zip(columns, row, strict=True)) for row in page]


async def _csv_pieces(pages: AsyncIterator[Rows]) -> AsyncIterator[str]:
    async for page in pages:
        yield csv_text(page)
        await asyncio.sleep(0)


async def _rest(begun: list[str], pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    for piece in begun:
        yield piece
    async for piece in pieces:
        yield piece
