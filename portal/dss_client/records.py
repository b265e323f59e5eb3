"""The responses of a Distributed Segmentation Service as dataclasses, with the fields that ITK-SNAP or this client
reads.

Facts: DistributedSegmentationModel.cxx of ITK-SNAP.  Numbers must be JSON numbers, flags JSON booleans.
"""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec

from dss_client.errors import NotUnderstood
from dss_submission.needs import ServiceDetail as ServiceDetail  # noqa: PLC0414  (a response, too)
from dss_submission.needs import Tag as Tag  # noqa: PLC0414

FINISHED = frozenset({"success", "failed", "timeout", "deleted"})
"""States of a ticket that has ended.  At these itksnap-wt stops waiting, and at no others (WorkspaceTool.cxx)."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Enveloped(Generic[T]):
    result: T


@dataclass(frozen=True, kw_only=True)
class Account:
    email: str = ""


@dataclass(frozen=True, kw_only=True)
class ServiceRow:
    name: str
    githash: str
    version: str
    shortdesc: str


@dataclass(frozen=True, kw_only=True)
class ServiceEstimate:
    """The estimate for a ticket that would be submitted now: how long it would take, or that no provider of the service
    is running.
    """

    githash: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class TicketEstimate:
    """The estimate for an open ticket: when it will be done.  ``ends_s`` is in seconds from now; None if it is not
    known, and then ``sentence`` says why.
    """

    id: int
    sentence: str
    ends_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class TicketRow:
    id: int
    service: str
    status: str


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A ticket in the list of the user's tickets.  Times are ISO 8601 with a zone; they are "" if the server does not
    give them, and ``ended_at`` also while the ticket is open.
    """

    id: int
    service: str
    status: str
    version: str = ""
    title: str = ""
    created_at: str = ""
    ended_at: str = ""
    verdict: str = ""


@dataclass(frozen=True, kw_only=True)
class Checksum:
    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Attachment:
    url: str
    description: str | None = ""
    mime_type: str | None = ""


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """A line of a ticket's log.  ``atime`` is as the server sent it: ``YYYY-MM-DD HH:MM:SS.ffffff``, or seconds since
    1970.
    """

    id: int
    atime: str | int
    category: str
    message: str
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Detail:
    """The state of a ticket.  ``progress`` is 0 to 1; ``queue_position`` counts from 1 while the ticket waits,
    otherwise it is None.
    """

    status: str
    progress: float = 0.0
    queue_position: int | None = None
    log: tuple[LogLine, ...] = ()

    @property
    def finished(self) -> bool:
        return self.status in FINISHED


@dataclass(frozen=True, kw_only=True)
class ApiParameter:
    name: str


@dataclass(frozen=True, kw_only=True)
class ApiOperation:
    parameters: tuple[ApiParameter, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ApiPath:
    post: ApiOperation = field(default_factory=ApiOperation)


@dataclass(frozen=True, kw_only=True)
class ApiDescription:
    """The part of a server's OpenAPI document that says which parameters its POST requests take, by path."""

    paths: dict[str, ApiPath]


def decode(body: bytes, kind: type[T]) -> T:
    """Decode ``body``.  Raises NotUnderstood if it is not JSON of this kind."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:  # includes ValidationError
        raise NotUnderstood(
            "The answer is not that of a Distributed Segmentation Service; check the address."
        ) from error
