"""ITK-SNAP as a server sees it: the same requests, the same reading of the answers.

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
"""How itksnap-wt bears bad answers while it waits."""

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
        """Sign in as the window does; the user's e-mail address.  A one-time token is used up."""
        answer = self._rest.log_in("api/login?format=json", f"token={token}")
        if answer.status != HTTPStatus.OK:
            raise _not_signed_in(answer)
        return _email(answer.body)

    def login_as_tool(self, token: str) -> str:
        """Sign in as ``itksnap-wt -dss-auth`` does, which looks at the body alone."""
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
        """In the order of the window's menu: by name, then by version as text."""
        rows = decode(self._rest.get("api/services?format=json"), Enveloped[list[ServiceRow]])
        return sorted(rows.result, key=lambda row: (row.name, row.version))

    def service_detail(self, githash: str) -> ServiceDetail:
        """The service's own description; the one answer that has no envelope."""
        return decode(self._rest.get(f"api/services/{githash}/detail"), ServiceDetail)

    def create_ticket(self, service: str) -> int:
        """``service`` is a hash of 40 characters, otherwise a name.  0 if the answer is no number."""
        key = "githash" if _GITHASH.fullmatch(service) else "name"
        return _atoi(self._rest.post("api/tickets", f"{key}={service}"))

    def upload(self, ticket: int, path: Path, progress: Progress | None = None) -> None:
        """Into the ticket's input."""
        self._rest.upload(f"api/tickets/{ticket}/files/input", path, progress)

    def submit(self, ticket: int) -> None:
        """Nothing can be uploaded any more; the ticket waits for a provider."""
        self._rest.post(f"api/tickets/{ticket}/status", "status=ready")

    def tickets(self) -> list[TicketRow]:
        """The user's own, without deleted ones."""
        body = self._rest.get("api/tickets?format=json")
        return decode(body, Enveloped[list[TicketRow]]).result

    def detail(self, ticket: int, since: int = 0) -> Detail:
        """State, and the log lines with ids above ``since``."""
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
        """Each state until the ticket has ended, with the log lines that are new in it.

        Five bad answers in a row end it, one lost connection at once.  Raises TicketUnfinished after
        ``timeout_s``.
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
        """0 to 1, as ``itksnap-wt -dss-tickets-progress`` asks for it."""
        return _number(self._rest.get(f"api/tickets/{ticket}/progress"))

    def queue_position(self, ticket: int) -> int:
        """From 1."""
        return _atoi(self._rest.get(f"api/tickets/{ticket}/queuepos"))

    def files(self, ticket: int, area: Area = "results") -> list[tuple[int, str]]:
        """Index and name of each file.  Raises NotUnderstood where ITK-SNAP reads past a short row."""
        rows = read_table(self._rest.get(f"api/tickets/{ticket}/files/{area}").decode())
        if any(len(row) < 2 for row in rows):
            raise NotUnderstood("The server's list of files cannot be read.")
        return [(_atoi(row[0].encode()), row[1]) for row in rows]

    def download_results(
        self, ticket: int, folder: Path, progress: Progress | None = None
    ) -> list[Path]:
        """Into ``folder``, over what lies there.  Raises ClientError if there are none."""
        found = self.files(ticket)
        if not found:
            raise ClientError(f"Ticket {ticket} has no results.")
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / _plain(name) for _, name in found]
        for (index, _), path in zip(found, paths, strict=True):
            self._rest.download(f"api/tickets/{ticket}/files/results/{index}", path, progress)
        return paths

    def retry(self, ticket: int) -> None:
        """Let a ticket that has ended wait again, with the files that it has."""
        self._rest.get(f"api/tickets/{ticket}/retry")

    def delete(self, ticket: int, within_s: float | None = None) -> None:
        """The ticket with all its files; also one that is being worked on."""
        self._rest.get(f"api/tickets/{ticket}/delete", within_s)


def _not_signed_in(answer: Answer) -> ClientError:
    """To ITK-SNAP every status but 200 is "not signed in"; only 401 is the token's fault."""
    if answer.status == HTTPStatus.UNAUTHORIZED:
        return SignInRefused("The server does not accept the token, or the session has ended.")
    return Refused(answer.status, answer.body.decode(errors="replace"))


def _email(body: bytes) -> str:
    email = decode(body, Enveloped[Account]).result.email
    if not email:
        raise SignInRefused("The server does not say who is signed in.")
    return email


def _atoi(body: bytes) -> int:
    """As in C: leading blanks and digits count, whatever follows; 0 if there are none."""
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
