"""Reads the responses of an inference server over HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec

from dss_broker.messages import Label, Landmark, Note
from dss_dispatch.errors import NoInference

NOT_UNDERSTOOD = "The inference server of this service answers in a way that is not understood."


class ReportEntry(msgspec.Struct, kw_only=True):
    """A file of a result in addition to the segmentation, such as a table.  ``name`` is "" in responses of earlier
    versions of the server.
    """

    name: str = ""
    description: str = ""
    mime_type: str = "application/octet-stream"


class ResultReport(msgspec.Struct, kw_only=True):
    """What our own inference server reports about a result in addition to its files: labels, notes, times, memory.  The
    original server has no such report.
    """

    labels: tuple[Label, ...]
    notes: tuple[Note, ...] = ()
    device: str = "a remote server"
    stage_seconds: dict[str, float] = {}
    peak_memory_bytes: int = 0
    landmarks: tuple[Landmark, ...] = ()
    reports: tuple[ReportEntry, ...] = ()
    verdict: str = ""


def endpoint_in(answer: httpx.Response) -> str:
    """The path of the result that the response names, which begins with "/".  Raises NoInference if it names no such
    path.
    """
    endpoint = fields_in(answer).get("Endpoint")
    if not isinstance(endpoint, str) or not endpoint.startswith("/"):
        raise NoInference(NOT_UNDERSTOOD)
    return endpoint


def report_in(answer: httpx.Response) -> ResultReport:
    """The report in a response.  Raises NoInference if it cannot be read."""
    with _understood():
        return msgspec.json.decode(answer.content, type=ResultReport)


def reason_in(answer: httpx.Response) -> str | None:
    """The sentence in the field ``error`` of a response; None if there is no printable one, as in responses of a
    proxy or of the original inference server, which had the same REST interface.
    """
    reason = fields_in(answer).get("error")
    return reason if isinstance(reason, str) and reason.isprintable() else None


def fields_in(answer: httpx.Response) -> dict[str, Any]:
    """The response's JSON object; {} if the response is no JSON object."""
    try:
        return msgspec.json.decode(answer.content, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}


@contextmanager
def _understood() -> Iterator[None]:
    try:
        yield
    except msgspec.MsgspecError as error:
        raise NoInference(NOT_UNDERSTOOD) from error
