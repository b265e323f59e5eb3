"""Flows (generators of requests, see ``steps``) that need several requests: choose a service, submit a ticket whose
files are prepared, watch a ticket.
"""

import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dss_client import protocol
from dss_client.errors import ClientError, NotUnderstood, Refused, Unreachable
from dss_client.records import Detail, ServiceDetail
from dss_client.retries import BUSY
from dss_client.selection import choose_service
from dss_client.steps import Pause, Steps

PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0)
"""Pauses in seconds between attempts to submit a ticket while the server does not answer."""

WITHDRAW_S = 10.0
"""Time limit in seconds for deleting a ticket that could not be submitted; short, because the user may have pressed
Ctrl-C and waits.
"""


class SubmissionListener(Protocol):
    """Is told about the progress of a ticket on its way to the server."""

    def stage(self, name: str) -> None:
        """A stage begins, such as "Uploading"."""

    def moved(self, done_bytes: int, total_bytes: int) -> None:
        """``done_bytes`` of a file's ``total_bytes`` were transferred."""

    def created(self, ticket: int) -> None:
        """The server has created the ticket."""

    def submitted(self, ticket: int) -> None:
        """The ticket is submitted.  From now on the server completes it without this client."""

    def withdrawn(self, ticket: int) -> None:
        """The ticket could not be submitted and was deleted."""


@dataclass(frozen=True, kw_only=True)
class SelectedService:
    """A service: the hash that selects it in requests, and its description."""

    githash: str
    detail: ServiceDetail


def selected_service(service: str) -> Steps[SelectedService]:
    """The newest service with the name ``service``, or the one with the hash ``service``, with its description.  Raises
    ServiceUnfit if the server does not list it.
    """
    rows = yield from protocol.services()
    row = choose_service(rows, service)
    found = yield from protocol.service_detail(row.githash)
    return SelectedService(githash=row.githash, detail=found)


def submit(
    githash: str,
    folder: Path,
    write: Callable[[int], Path],
    listener: SubmissionListener,
    title: str = "",
    *,
    key: str = "",
) -> Steps[int]:
    """Create a ticket, upload the files of ``folder`` and the workspace that ``write`` adds for the ticket's number,
    and submit.  Returns the ticket's number.

    ``title`` is shown only to the ticket's owner and is in no file that is sent; an older server ignores it.  After any
    failure, including Ctrl-C and cancellation, the ticket is deleted if the server responds, because it would count in
    the user's quota; the error is raised again.

    ``key`` identifies the ticket if the caller repeats the flow after an error that leaves open whether a ticket was
    created.  Without it, this flow itself repeats the request for the creation, with a new key.
    """
    if key:
        ticket = yield from protocol.create_ticket(githash, key)
    else:
        ticket = yield from _created(githash, new_key())
    if ticket <= 0:
        raise NotUnderstood("The server did not answer with the number of a ticket.")
    listener.created(ticket)
    try:
        write(ticket)
        if title:
            yield from _named(ticket, title)
        listener.stage("Uploading")
        for path in sorted(folder.iterdir()):
            yield from protocol.upload(ticket, path, listener.moved, resumes=True)
        yield from _surely_submitted(ticket)
    except BaseException:
        yield from _withdrawn(ticket, listener)
        raise
    listener.submitted(ticket)
    return ticket


def new_key() -> str:
    """A key for ``submit`` that nobody else uses."""
    return uuid.uuid4().hex


def _created(githash: str, key: str) -> Steps[int]:
    """Create a ticket; if the response is lost, repeat the request with the same key."""
    try:
        return (yield from protocol.create_ticket(githash, key))
    except Unreachable as error:
        lost: Unreachable | Refused = error
    except Refused as error:
        if error.status not in BUSY:
            raise
        lost = error  # it may come from a proxy, so the portal may have created the ticket
    return (yield from _created_again(githash, key, lost))


def _created_again(githash: str, key: str, lost: Unreachable | Refused) -> Steps[int]:
    """Repeat the request after each of PAUSES_S while the server is unreachable or busy.  Raises ``lost``, the error of
    the first request, if the server does not know keys or gives no answer; another refusal is raised at once.
    """
    for seconds in PAUSES_S:
        yield Pause(seconds=seconds)
        try:
            if not (yield from protocol.knows_creation_keys()):
                break
            return (yield from protocol.create_ticket(githash, key))
        except Unreachable:
            pass
        except Refused as error:
            if error.status not in BUSY:
                raise
    raise lost


def _named(ticket: int, title: str) -> Steps[None]:
    with suppress(ClientError):  # the name is not essential
        yield from protocol.rename(ticket, title)


def _surely_submitted(ticket: int) -> Steps[None]:
    """Submit the ticket, and repeat the request after each of PAUSES_S while the server is unreachable or busy; raises
    the last error.  Another refusal is raised at once.

    If an attempt whose response was lost has succeeded, the next one is refused; then the ticket's state decides.
    """
    is_lost = False
    for seconds in PAUSES_S:
        try:
            return (yield from protocol.submit(ticket))
        except Unreachable:
            pass
        except Refused as error:
            if error.status not in BUSY:
                return (yield from _refused(ticket, error, is_lost=is_lost))
        is_lost = True  # a busy response may come from a proxy, so the portal may have submitted the ticket
        yield Pause(seconds=seconds)
    try:
        yield from protocol.submit(ticket)
    except Refused as error:
        yield from _refused(ticket, error, is_lost=is_lost)


def _refused(ticket: int, error: Refused, *, is_lost: bool) -> Steps[None]:
    """Raise ``error``, unless an earlier attempt has submitted the ticket, which is possible only if ``is_lost``: the
    response to an earlier attempt was lost.
    """
    if not is_lost:
        raise error
    yield from _known_submitted(ticket, error)


def _known_submitted(ticket: int, error: Refused) -> Steps[None]:
    """Raise ``error`` unless the server says that the ticket is submitted and not deleted."""
    try:
        found = yield from protocol.detail(ticket)
    except ClientError:
        raise error from None
    if found.status in {"init", "deleted"}:
        raise error


def _withdrawn(ticket: int, listener: SubmissionListener) -> Steps[None]:
    try:
        yield from protocol.delete(ticket, WITHDRAW_S)
    except ClientError:
        return
    listener.withdrawn(ticket)


class Watch:
    """Polls a ticket every ``every_s`` seconds until it has ended.  Each state contains the new log lines."""

    def __init__(self, ticket: int, every_s: float, since: int = 0) -> None:
        self._ticket = ticket
        self._every_s = every_s
        self._since = since
        self._looked = False
        self._ended = False

    def poll(self) -> Steps[Detail | None]:
        """Wait ``every_s`` seconds, except the first time, and return the ticket's state; None after the last state.
        After a bad response the request is repeated; a few in a row, or a lost connection, raise their error.
        """
        if self._ended:
            return None
        if self._looked:
            yield Pause(seconds=self._every_s)
        self._looked = True
        found = yield from protocol.detail_with_retries(self._ticket, self._since)
        self._since = found.log[-1].id if found.log else self._since
        self._ended = found.finished
        return found
