"""The responses of a Distributed Segmentation Service, as far as ITK-SNAP reads them.

Facts: DistributedSegmentationModel.cxx of ITK-SNAP.  Numbers must be JSON numbers, flags JSON booleans.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from dss_client.errors import NotUnderstood
from dss_submission.needs import ServiceDetail as ServiceDetail  # noqa: PLC0414  (a response, too)
from dss_submission.needs import Tag as Tag  # noqa: PLC0414

FINISHED = frozenset({"success", "failed", "timeout", "deleted"})
"""States at which itksnap-wt stops waiting; it waits on in any other state (WorkspaceTool.cxx)."""

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
    """The estimate for a ticket that would be submitted now: how long it would take, or that no program serves the
    service.
    """

    githash: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class TicketEstimate:
    """The estimate for an open ticket: when it will be done.  ``ends_s`` is None if that is not known; the sentence
    says why.
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
    """A row of the list of tickets for people.  Times are ISO 8601 with a zone; "" if the server does not give them."""

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
    """The state of a ticket.  ``progress`` is 0 to 1; ``queue_position`` counts from 1 and is present while the ticket
    waits.
    """

    status: str
    progress: float = 0.0
    queue_position: int | None = None
    log: tuple[LogLine, ...] = ()

    @property
    def finished(self) -> bool:
        return self.status in FINISHED


def decode(body: bytes, kind: type[T]) -> T:
    """Decode ``body``.  Raises NotUnderstood if it is not JSON of this kind."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:  # includes ValidationError
        raise NotUnderstood(
            "The answer is not that of a Distributed Segmentation Service; check the address."
        ) from error
