"""Reading forms and files as the old clients send them.

ITK-SNAP's forms are not URL-encoded (``message=100% done, é``), and may come in the query as well;
the body wins, and of a repeated name the last.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from math import nan
from urllib.parse import parse_qsl

from quart import current_app, request
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from dss_portal.errors import Refused
from dss_portal.settings import Settings


def settings() -> Settings:
    found: Settings = current_app.config["DSS"]
    return found


async def form() -> dict[str, str]:
    """All parameters of the request.  Raises Refused if the form is too large or not UTF-8."""
    fields = _decoded(request.query_string)
    kind, options = parse_options_header(request.headers.get("Content-Type"))
    if kind == "multipart/form-data":
        return fields | await _multipart_fields(options.get("boundary", ""))
    if request.method in {"POST", "PUT", "PATCH"}:
        fields |= _decoded(await _small_body())
    return fields


async def required(name: str) -> str:
    """The parameter ``name``.  Raises Refused if it is missing."""
    return of(await form(), name)


def of(form: Mapping[str, str], name: str) -> str:
    """The field ``name``.  Raises Refused if it is missing."""
    if name not in form:
        raise Refused(f"Missing '{name}' parameter")
    return form[name]


def fraction(form: Mapping[str, str], name: str) -> float:
    """A number from 0 to 1.  Raises Refused if it is none."""
    text = of(form, name)
    try:
        value = float(text)
    except ValueError:
        value = nan
    if not 0 <= value <= 1:
        raise Refused(f"'{name}' must be a number from 0 to 1, not '{text}'.")
    return value


def number(name: str, default: int) -> int:
    """A whole number from the query.  Raises Refused if it is none."""
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


async def chunks() -> AsyncIterator[bytes]:
    """The body as it comes.  Raises Refused if the sender falls silent."""
    body = aiter(request.body)
    while True:
        try:
            yield await asyncio.wait_for(anext(body), settings().upload_silence_s)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            seconds = settings().upload_silence_s
            raise Refused(f"Nothing more was received for {seconds:g} seconds.", 408) from error


async def multipart() -> AsyncIterator[Field | File | Data]:
    """The parts of a multipart body as they come.  Raises Refused if it is malformed or cut off."""
    _, options = parse_options_header(request.headers.get("Content-Type"))
    decoder = MultipartDecoder(options.get("boundary", "").encode(), max_parts=100)
    try:
        async for chunk in chunks():
            decoder.receive_data(chunk)
            for event in _waiting(decoder):
                yield event
        decoder.receive_data(None)
        for event in _waiting(decoder):
            yield event
    except ValueError as error:
        raise Refused("The upload is no complete multipart form.") from error


def _waiting(decoder: MultipartDecoder) -> Iterator[Field | File | Data]:
    """What can be told from the bytes received so far.  Raises ValueError if it is no form."""
    while not isinstance(event := decoder.next_event(), NeedData | Epilogue):
        if isinstance(event, Field | File | Data):
            yield event


async def _multipart_fields(boundary: str) -> dict[str, str]:
    if not boundary:
        raise Refused("The multipart form names no boundary.")
    return await remaining_fields(multipart())


class Fields:
    """The plain fields of a multipart form, taken part by part; files are passed over."""

    def __init__(self) -> None:
        self._values: dict[str, bytearray] = {}
        self._current: bytearray | None = None
        self._size_bytes = 0

    def take(self, part: Field | File | Data) -> None:
        """Raises Refused if the form is too large."""
        if isinstance(part, Field):
            self._current = self._values[part.name] = bytearray()
        elif isinstance(part, File):
            self._current = None
        else:
            self._size_bytes += len(part.data)
            _refuse_large_form(self._size_bytes)
            if self._current is not None:
                self._current += part.data

    def texts(self) -> dict[str, str]:
        """Raises Refused if one is not UTF-8."""
        return {name: _text(bytes(value)) for name, value in self._values.items()}


async def remaining_fields(parts: AsyncIterator[Field | File | Data]) -> dict[str, str]:
    """The plain fields among the parts that are still to come."""
    fields = Fields()
    async for part in parts:
        fields.take(part)
    return fields.texts()


async def _small_body() -> bytes:
    body = bytearray()
    async for chunk in chunks():
        body += chunk
        _refuse_large_form(len(body))
    return bytes(body)


def _refuse_large_form(size_bytes: int) -> None:
    limit = settings().max_form_bytes
    if size_bytes > limit:
        raise Refused(f"The form is larger than {limit} bytes.", 413)


def _decoded(body: bytes) -> dict[str, str]:
    text = _text(body)
    try:
        fields = dict(parse_qsl(text, keep_blank_values=True, errors="strict"))
    except ValueError as error:
        raise Refused("The form is not UTF-8 text.") from error
    for value in fields.values():
        _refuse_null(value)
    return fields


def _text(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise Refused("The form is not UTF-8 text.") from error
    _refuse_null(text)
    return text


def _refuse_null(text: str) -> None:
    if "\0" in text:
        raise Refused("The form has a null character, which no text may hold.")
