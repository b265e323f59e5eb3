"""A client that sends the requests of ITK-SNAP and reads the responses as ITK-SNAP does.

Facts: WorkspaceAPI.cxx, DistributedSegmentationModel.cxx (the window) and WorkspaceTool.cxx
(``itksnap-wt``) of ITK-SNAP, and recorded traffic.
"""

import re
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import httpx

from dss_client.cookie_jar import CookieJar
from dss_client.errors import ClientError, NotUnderstood, Refused, SignInRefused, TicketUnfinished
from dss_client.multipart import Progress
from dss_client.records import (
    Account,
    Detail,
    Enveloped,
    ServiceDetail,
    ServiceRow,
    TicketRow,
    decode,
)
from dss_client.rest import Answer, RestClient
from dss_client.tables import read_table

POLL_S = 4.0
"""How often ITK-SNAP's window asks for a ticket's state."""

AFTER_ERROR_S = 10.0
ERRORS_IN_A_ROW = 5
"""After this many bad responses in a row, AFTER_ERROR_S apart, itksnap-wt stops waiting."""

_SIGNED_IN = "logged in as "
_GITHASH = re.compile(r"[0-9a-f]{40}")

Area = Literal["input", "results"]


class ItkSnap:
    """A user of ``server`` (its address, perhaps with a path).  Not for several threads at once.

    Every method raises Refused if the status is not 200, Unreachable if there is no answer and
    NotUnderstood if the answer is not a DSS server's.
    """

    def __init__(
        self,
        server: str,
        jar: Path | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._rest = RestClient(server, CookieJar(jar), transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._rest.close()

    def use_token(self, token: str) -> None:
        """Send a token for programs with each request, which ITK-SNAP cannot."""
        self._rest.bearer = token

    def login(self, token: str) -> str:
        """Sign in as the window does, and return the user's e-mail address.  Consumes a one-time token.

        Raises SignInRefused for status 401.
        """
        answer = self._rest.log_in("api/login?format=json", f"token={token}")
        if answer.status != HTTPStatus.OK:
            raise _not_signed_in(answer)
        return _email(answer.body)

    def login_as_tool(self, token: str) -> str:
        """Sign in as ``itksnap-wt -dss-auth`` does, and return the user's e-mail address.

        Success depends on the body, not on the status.  Raises SignInRefused for status 401.
        """
        answer = self._rest.log_in("api/login", f"token={token}")
        text = answer.body.decode(errors="replace")
        if not text.startswith(_SIGNED_IN):
            raise _not_signed_in(answer)
        return text.removeprefix(_SIGNED_IN).strip()

    def account(self) -> str:
        """The e-mail address of the session in the jar.  Raises SignInRefused if there is none."""
        try:
            return _email(self._rest.get("api/login?format=json"))
        except Refused as error:
            raise _not_signed_in(Answer(status=error.status, body=error.body.encode())) from error

    def services(self) -> list[ServiceRow]:
        """The services, sorted like the window's menu: by name, then by version as text."""
        rows = decode(self._rest.get("api/services?format=json"), Enveloped[list[ServiceRow]])
        return sorted(rows.result, key=lambda row: (row.name, row.version))

    def service_detail(self, githash: str) -> ServiceDetail:
        """The description of a service.  Only this response has no ``result`` envelope."""
        return decode(self._rest.get(f"api/services/{githash}/detail"), ServiceDetail)

    def create_ticket(self, service: str) -> int:
        """Number of the new ticket; 0 if the response is no number.  ``service`` is a hash of 40 digits or a name."""
        key = "githash" if _GITHASH.fullmatch(service) else "name"
        return _atoi(self._rest.post("api/tickets", f"{key}={service}"))

    def upload(self, ticket: int, path: Path, progress: Progress | None = None) -> None:
        """Upload a file to the ticket's input area."""
        self._rest.upload(f"api/tickets/{ticket}/files/input", path, progress)

    def submit(self, ticket: int) -> None:
        """Queue the ticket for a provider; later uploads are refused."""
        self._rest.post(f"api/tickets/{ticket}/status", "status=ready")

    def tickets(self) -> list[TicketRow]:
        """The user's own tickets, except deleted ones."""
        body = self._rest.get("api/tickets?format=json")
        return decode(body, Enveloped[list[TicketRow]]).result

    def detail(self, ticket: int, since: int = 0) -> Detail:
        """The state of a ticket, and its log lines with ids above ``since``."""
        body = self._rest.get(f"api/tickets/{ticket}/detail?since={since}")
        return decode(body, Enveloped[Detail]).result

    def wait(
        self,
        ticket: int,
        *,
        since: int = 0,
        every_s: float = POLL_S,
        timeout_s: float = float("inf"),
        pause: Callable[[float], None] = time.sleep,
    ) -> Iterator[Detail]:
        """Yield the ticket's state every ``every_s`` until it has ended, each time with the new log lines.

        Raises the error of the ERRORS_IN_A_ROW-th bad response in a row, Unreachable at the first lost connection,
        and TicketUnfinished after ``timeout_s``.
        """
        end_s = time.monotonic() + timeout_s
        while True:
            detail = self._patient_detail(ticket, since, pause)
            yield detail
            if detail.finished:
                return
            since = detail.log[-1].id if detail.log else since
            if time.monotonic() > end_s:
                raise TicketUnfinished(f"Ticket {ticket} is still {detail.status}.")
            pause(every_s)

    def _patient_detail(self, ticket: int, since: int, pause: Callable[[float], None]) -> Detail:
        for _ in range(ERRORS_IN_A_ROW - 1):
            try:
                return self.detail(ticket, since)
            except (Refused, NotUnderstood):
                pause(AFTER_ERROR_S)
        return self.detail(ticket, since)

    def progress(self, ticket: int) -> float:
        """The ticket's progress, 0 to 1, by the request of ``itksnap-wt -dss-tickets-progress``."""
        return _number(self._rest.get(f"api/tickets/{ticket}/progress"))

    def queue_position(self, ticket: int) -> int:
        """The ticket's place in its queue, from 1; 0 if it does not wait."""
        return _atoi(self._rest.get(f"api/tickets/{ticket}/queuepos"))

    def files(self, ticket: int, area: Area = "results") -> list[tuple[int, str]]:
        """Index and name of each file.  Raises NotUnderstood if a row has no name (ITK-SNAP reads past its end)."""
        rows = read_table(self._rest.get(f"api/tickets/{ticket}/files/{area}").decode())
        if any(len(row) < 2 for row in rows):
            raise NotUnderstood("The server's list of files cannot be read.")
        return [(_atoi(row[0].encode()), row[1]) for row in rows]

    def download_results(
        self, ticket: int, folder: Path, progress: Progress | None = None
    ) -> list[Path]:
        """Download all results to ``folder`` and return their paths; replaces files of the same names.

        Raises ClientError if the ticket has no results.
        """
        found = self.files(ticket)
        if not found:
            raise ClientError(f"Ticket {ticket} has no results.")
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / _plain(name) for _, name in found]
        for (index, _), path in zip(found, paths, strict=True):
            self._rest.download(f"api/tickets/{ticket}/files/results/{index}", path, progress)
        return paths

    def retry(self, ticket: int) -> None:
        """Queue an ended ticket again, with the files that it has."""
        self._rest.get(f"api/tickets/{ticket}/retry")

    def delete(self, ticket: int, within_s: float | None = None) -> None:
        """Delete the ticket and all its files, even if a provider works on it."""
        self._rest.get(f"api/tickets/{ticket}/delete", within_s)


def _not_signed_in(answer: Answer) -> ClientError:
    """SignInRefused for 401, else Refused.  ITK-SNAP reports every status except 200 as "not signed in"."""
    if answer.status == HTTPStatus.UNAUTHORIZED:
        return SignInRefused("The server does not accept the token, or the session has ended.")
    return Refused(answer.status, answer.body.decode(errors="replace"))


def _email(body: bytes) -> str:
    email = decode(body, Enveloped[Account]).result.email
    if not email:
        raise SignInRefused("The server does not say who is signed in.")
    return email


def _atoi(body: bytes) -> int:
    """C's ``atoi``: skip blanks, read digits, ignore the rest; 0 if there are no digits."""
    found = re.match(rb"\s*([+-]?\d+)", body)
    return int(found[1]) if found else 0


def _number(body: bytes) -> float:
    try:
        return float(body)
    except ValueError as error:
        raise NotUnderstood("The server's answer is not a number.") from error


def _plain(name: str) -> str:
    """Raises NotUnderstood if the name leads out of the folder that the user chose."""
    if name in {"", ".", ".."} or set(name) & set("/\\:\0"):
        raise NotUnderstood("The server's list of files holds a name that is not allowed.")
    return name
