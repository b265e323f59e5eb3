"""A client that sends the requests of ITK-SNAP and reads the responses as ITK-SNAP does.

Facts: WorkspaceAPI.cxx, DistributedSegmentationModel.cxx (the window) and WorkspaceTool.cxx
(``itksnap-wt``) of ITK-SNAP, and recorded traffic.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import httpx

from dss_client import protocol
from dss_client.checksums import require_sound
from dss_client.cookie_jar import CookieJar
from dss_client.errors import TicketUnfinished
from dss_client.flows import Watch
from dss_client.multipart import Progress
from dss_client.protocol import Area
from dss_client.records import Detail, ServiceDetail, ServiceRow, Summary, TicketRow
from dss_client.rest import RestClient
from dss_client.session import Session
from dss_client.steps import Steps

T = TypeVar("T")

POLL_S = 4.0
"""Seconds between two requests of ITK-SNAP's window for a ticket's state."""


class ItkSnap(Session):
    """A user's access to ``server`` (an address, perhaps with a path).  Not thread-safe.

    Unless a method says otherwise, it raises Refused if the status is not 200, Unreachable if there is no response, and
    NotUnderstood if the response is not that of a DSS server.
    """

    def __init__(
        self,
        server: str,
        jar: Path | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(RestClient(server, CookieJar(jar), transport))

    def use_token(self, token: str) -> None:
        """Send a token for programs with each request, which ITK-SNAP cannot."""
        self._rest.bearer = token

    @property
    def server(self) -> str:
        """The address of the server, as it was given."""
        return self._rest.server

    @property
    def is_program(self) -> bool:
        """True if a token for programs is sent instead of a session's cookie."""
        return bool(self._rest.bearer)

    def run(self, steps: Steps[T]) -> T:
        """Run a flow of the protocol and return its value."""
        return self._rest.run(steps)

    def login(self, token: str) -> str:
        """Sign in as ITK-SNAP's window does, and return the user's e-mail address.  Uses up a one-time token.

        Raises SignInRefused for status 401.
        """
        return self.run(protocol.login(token))

    def login_as_tool(self, token: str) -> str:
        """Sign in as ``itksnap-wt -dss-auth`` does, and return the user's e-mail address.

        Success depends on the body, not on the status.  Raises SignInRefused for status 401.
        """
        return self.run(protocol.login_as_tool(token))

    def account(self) -> str:
        """The e-mail address of the user whose session or token for programs is sent.  Raises SignInRefused if neither
        is valid.
        """
        return self.run(protocol.account())

    def logout(self) -> None:
        """End the session on the server.  Raises Unreachable only; the response is ignored."""
        self.run(protocol.logout())

    def revoke(self) -> None:
        """Revoke the token for programs that was given to ``use_token``."""
        self.run(protocol.revoke())

    def services(self) -> list[ServiceRow]:
        """The services in the order of ITK-SNAP's menu: by name, then by version as text."""
        return self.run(protocol.services())

    def service_detail(self, githash: str) -> ServiceDetail:
        """The description of the service with the hash ``githash``."""
        return self.run(protocol.service_detail(githash))

    def create_ticket(self, service: str) -> int:
        """Create a ticket and return its number; 0 if the response is no number.  ``service`` is a hash of 40 digits or
        a name.
        """
        return self.run(protocol.create_ticket(service))

    def upload(self, ticket: int, path: Path, progress: Progress | None = None) -> None:
        """Upload a file to the ticket's input area."""
        self.run(protocol.upload(ticket, path, progress))

    def submit(self, ticket: int) -> None:
        """Queue the ticket for a provider; later uploads are refused."""
        self.run(protocol.submit(ticket))

    def tickets(self) -> list[TicketRow]:
        """The user's own tickets, except deleted ones."""
        return self.run(protocol.tickets())

    def summaries(self) -> list[Summary]:
        """The user's own tickets, except deleted ones, with names and times, which are "" if the server does not give
        them.
        """
        return self.run(protocol.summaries())

    def service_estimates(self, size_bytes: int = 0) -> dict[str, str]:
        """For each service, by its hash, a sentence about how long a ticket with files of ``size_bytes`` would take;
        empty if the server has no estimates, and after any error.
        """
        return self.run(protocol.service_estimates(size_bytes))

    def ticket_estimate(self, ticket: int) -> str:
        """A sentence about when an open ticket of the user will be done; "" if the server has no estimate, and after
        any error.
        """
        return self.run(protocol.ticket_estimate(ticket))

    def detail(self, ticket: int, since: int = 0) -> Detail:
        """The state of a ticket, and its log lines with ids above ``since``."""
        return self.run(protocol.detail(ticket, since))

    def wait(
        self,
        ticket: int,
        *,
        since: int = 0,
        every_s: float = POLL_S,
        timeout_s: float = float("inf"),
        pause: Callable[[float], None] = time.sleep,
    ) -> Iterator[Detail]:
        """Yield the ticket's state every ``every_s`` seconds until it has ended, each time with the new log lines; at
        first those with ids above ``since``.

        Raises the error of the ERRORS_IN_A_ROW-th bad response in a row, Unreachable at the first lost connection, and
        TicketUnfinished after ``timeout_s`` seconds.
        """
        end_s = time.monotonic() + timeout_s
        watch = Watch(ticket, every_s, since)
        while (found := self._rest.run(watch.poll(), pause)) is not None:
            yield found
            if not found.finished and time.monotonic() > end_s:
                raise TicketUnfinished(f"Ticket {ticket} is still {found.status}.")

    def progress(self, ticket: int) -> float:
        """The ticket's progress, 0 to 1, by the request of ``itksnap-wt -dss-tickets-progress``."""
        return self.run(protocol.progress(ticket))

    def queue_position(self, ticket: int) -> int:
        """The ticket's place in its queue, from 1; 0 if it does not wait."""
        return self.run(protocol.queue_position(ticket))

    def files(self, ticket: int, area: Area = "results") -> list[tuple[int, str]]:
        """Index and name of each file in the ticket's ``area``.  Raises NotUnderstood for a row without a name."""
        return self.run(protocol.files(ticket, area))

    def download_results(
        self,
        ticket: int,
        folder: Path,
        progress: Progress | None = None,
        there: Callable[[Path], bool] = lambda _: False,
        check: Callable[[Sequence[Path]], object] = lambda _: None,
    ) -> list[Path]:
        """Download all results to ``folder`` and return their paths.  Existing files are replaced, except those for
        which ``there`` returns True.  ``check`` is called with all paths before anything is written, and may raise.
        Raises ClientError if the ticket has no results.
        """
        return self.run(protocol.download_results(ticket, folder, progress, there, check))

    def download_archive(self, ticket: int, target: Path, progress: Progress | None = None) -> None:
        """Download all results as one zip archive to the file ``target``, and verify its checksums.  Raises
        NotUnderstood if the archive is damaged, and removes it.
        """
        self.run(protocol.download_archive(ticket, target, progress))
        require_sound(target)

    def checksums(self, ticket: int) -> dict[str, str]:
        """SHA-256 of each result by name; empty if the server does not provide them."""
        return self.run(protocol.checksums(ticket))

    def retry(self, ticket: int) -> None:
        """Queue a failed or timed-out ticket again, with its files.  Raises Refused for a ticket in another state."""
        self.run(protocol.retry(ticket))

    def delete(self, ticket: int, within_s: float | None = None) -> None:
        """Delete the ticket and all its files, even if a provider works on it.  ``within_s`` replaces the usual time
        limits.
        """
        self.run(protocol.delete(ticket, within_s))
