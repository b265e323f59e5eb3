"""Reads forms and files as old clients send them.

ITK-SNAP's forms are not URL-encoded (``message=100% done, é``), and may also be in the query.  The body takes
precedence over the query; of several fields with one name, the last counts.
"""

import asyncio
import time
from collections.abc import AsyncIterator

from quart import request
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Field, File

from dss_portal import forms
from dss_portal.refusals import Refused
from dss_portal.web.context import components
from dss_portal.web.multipart import BoundedDecoder


async def form() -> dict[str, str]:
    """All parameters of the request, from the query and from the form in its body; a form that is not multipart is read
    only for POST, PUT and PATCH.  Raises Refused if the form is malformed, too large, too slow (408) or not UTF-8.
    """
    fields = forms.decoded(request.query_string)
    kind, _ = parse_options_header(request.headers.get("Content-Type"))
    if kind == "multipart/form-data":
        return fields | await remaining_fields(multipart(components().settings.form_s))
    if request.method in {"POST", "PUT", "PATCH"}:
        fields |= forms.decoded(await _small_body())
    return fields


async def required(name: str) -> str:
    """The value of the parameter ``name``.  Raises Refused if the request has no such parameter."""
    return forms.of(await form(), name)


def number(name: str, default: int) -> int:
    """The parameter ``name`` of the query as a whole number; ``default`` if it is missing or empty.  Raises Refused if
    it is not a whole number or has too many digits.
    """
    text = (request.args.getlist(name) or [""])[-1]
    if not text:
        return default
    try:
        value = int(text)
    except ValueError as error:
        raise Refused(f"'{name}' must be a whole number, not '{text}'.") from error
    if abs(value) >= 2**63:
        raise Refused(f"'{name}' must be a whole number of 18 digits at most.")
    return value


async def chunks(within_s: float) -> AsyncIterator[bytes]:
    """Yield the pieces of the request's body as they arrive.  Raises Refused (408) if nothing arrives for
    ``upload_silence_s`` seconds, or if the body is not complete after ``within_s`` seconds.
    """
    body = aiter(request.body)
    silence_s = components().settings.upload_silence_s
    deadline_s = time.monotonic() + within_s
    while True:
        left_s = deadline_s - time.monotonic()
        try:
            async with asyncio.timeout(
                min(silence_s, left_s)
            ):  # cheaper than wait_for, which makes a task for each piece
                piece = await anext(body)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise _too_slow(silence_s, within_s, ended=left_s < silence_s) from error
        yield piece


def _too_slow(silence_s: float, within_s: float, *, ended: bool) -> Refused:
    if ended:
        return Refused(f"The request was not complete within {within_s:g} seconds.", 408)
    return Refused(f"Nothing more was received for {silence_s:g} seconds.", 408)


async def multipart(within_s: float) -> AsyncIterator[Field | File | Data]:
    """Yield the parts of the request's multipart form as they arrive, as ``BoundedDecoder.pieces`` does.

    Raises Refused if the form is malformed or truncated, if it pauses too long or is not complete after ``within_s``
    seconds (408), or if it has too much data around its parts; RequestEntityTooLarge if it has too many parts.
    """
    _, options = parse_options_header(request.headers.get("Content-Type"))
    decoder = BoundedDecoder(options.get("boundary", ""), components().settings.max_form_bytes)
    try:
        async for chunk in chunks(within_s):
            for event in decoder.pieces(chunk):
                yield event
        for event in decoder.end():
            yield event
    except ValueError as error:
        raise Refused("The upload is no complete multipart form.") from error


class FormFields:
    """Collects the fields of a multipart form that are not files.  ``take`` is called with each part in order."""

    def __init__(self) -> None:
        self._values: dict[str, bytearray] = {}
        self._current: bytearray | None = None
        self._size_bytes = 0

    def take(self, part: Field | File | Data) -> None:
        """Add the next part, or the next piece of its content; the content of files is not kept.  Raises Refused if the
        form is too large.
        """
        if isinstance(part, Field):
            self._count(len(part.name))
            self._current = self._values[part.name] = bytearray()
        elif isinstance(part, File):
            self._current = None
        else:
            self._count(len(part.data))
            if self._current is not None:
                self._current += part.data

    def _count(self, more_bytes: int) -> None:
        self._size_bytes += more_bytes
        _refuse_large_form(self._size_bytes)

    def texts(self) -> dict[str, str]:
        """The collected fields as text.  Raises Refused if one is not UTF-8."""
        return {name: forms.text(bytes(value)) for name, value in self._values.items()}


async def remaining_fields(parts: AsyncIterator[Field | File | Data]) -> dict[str, str]:
    """Read ``parts`` to the end, and return the fields that are not files.  Raises Refused if they are too large or not
    UTF-8.
    """
    fields = FormFields()
    async for part in parts:
        fields.take(part)
    return fields.texts()


async def _small_body() -> bytes:
    body = bytearray()
    async for chunk in chunks(components().settings.form_s):
        body += chunk
        _refuse_large_form(len(body))
    return bytes(body)


def _refuse_large_form(size_bytes: int) -> None:
    limit = components().settings.max_form_bytes
    if size_bytes > limit:
        raise Refused(f"The form is larger than {limit} bytes.", 413)
