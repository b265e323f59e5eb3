"""Steps: the requests, transfers of files and pauses of which the client's flows consist, and which a connection
performs.

A flow is a generator: it yields steps, gets an Answer for each, and returns its value.  The same flow runs on a
blocking connection (``rest``) and on an asynchronous one (``async_rest``).
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

from dss_client.errors import Refused
from dss_client.multipart import Progress

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A response.  ``body`` is not decompressed: ITK-SNAP neither requests nor decodes compressed responses."""

    status: int = HTTPStatus.OK
    body: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A step: a request.  ``path`` is relative to the server's address; ``body`` is a form that is sent unchanged.

    ``headers`` are sent beside those of ITK-SNAP.  ``signs_in``: the request carries no cookie, and the cookies of its response are stored.  ``within_s`` replaces the
    usual time limits.
    """

    method: Literal["GET", "POST"] = "GET"
    path: str
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    signs_in: bool = False
    within_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A step: an upload of a file to the input area of ``ticket``.

    ``resumes``: the upload continues after a lost connection if the server supports that; ITK-SNAP's own uploads do
    not.
    """

    ticket: int
    file: Path
    progress: Progress | None = None
    resumes: bool = False


@dataclass(frozen=True, kw_only=True)
class Download:
    """A step: a download from ``path``.  Afterwards ``target`` is either complete or unchanged."""

    path: str
    target: Path
    progress: Progress | None = None


@dataclass(frozen=True, kw_only=True)
class Pause:
    seconds: float


Step: TypeAlias = Request | Upload | Download | Pause
Steps: TypeAlias = Generator[Step, Answer, T]


def body_of(answer: Answer) -> bytes:
    """The body of the response.  Raises Refused unless the status is 200."""
    if answer.status != HTTPStatus.OK:
        raise Refused(answer.status, answer.body.decode(errors="replace"))
    return answer.body
