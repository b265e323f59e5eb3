"""The user's part of the DSS protocol, without any input or output.  Each function is a flow (``dss_client.steps``).

Each raises Refused if a status is not 200, and NotUnderstood if an answer is not that of a DSS server.  Facts:
WorkspaceAPI.cxx, DistributedSegmentationModel.cxx (the window) and WorkspaceTool.cxx (``itksnap-wt``) of ITK-SNAP.
More than 300 lines: one short function for each request of the protocol.
"""

import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Literal
from urllib.parse import urlencode

from dss_client.errors import ClientError, NotUnderstood, Refused, SignInRefused
from dss_client.multipart import Progress
from dss_client.records import (
    Account,
    ApiDescription,
    ApiPath,
    Checksum,
    Detail,
    Enveloped,
    ServiceDetail,
    ServiceEstimate,
    ServiceRow,
    Summary,
    TicketEstimate,
    TicketRow,
    decode,
)
from dss_client.steps import Answer, Download, Pause, Request, Steps, T, Upload, body_of
from dss_client.tables import read_table

AFTER_ERROR_S = 10.0
ERRORS_IN_A_ROW = 5
"""Number of bad responses in a row, AFTER_ERROR_S seconds apart, after which itksnap-wt stops waiting for a ticket."""

Area = Literal["input", "results"]

IDEMPOTENCY_KEY = "Idempotency-Key"

_UNKNOWN = {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}
_SIGNED_IN = "logged in as "
_GITHASH = re.compile(r"[0-9a-f]{40}")


def login(token: str) -> Steps[str]:
    """Sign in as ITK-SNAP's window does, and return the user's e-mail address.  Uses up a one-time token.

    Raises SignInRefused for status 401.
    """
    answer = yield Request(
        method="POST", path="api/login?format=json", body=f"token={token}", signs_in=True
    )
    if answer.status != HTTPStatus.OK:
        raise _not_signed_in(answer)
    return _email(answer.body)


def login_as_tool(token: str) -> Steps[str]:
    """Sign in as ``itksnap-wt -dss-auth`` does, and return the user's e-mail address.

    Success depends on the body, not on the status.  Raises SignInRefused for status 401.
    """
    answer = yield Request(method="POST", path="api/login", body=f"token={token}", signs_in=True)
    text = answer.body.decode(errors="replace")
    if not text.startswith(_SIGNED_IN):
        raise _not_signed_in(answer)
    return text.removeprefix(_SIGNED_IN).strip()


def account() -> Steps[str]:
    """The e-mail address of the user whose session or token for programs is sent.  Raises SignInRefused if neither is
    valid.
    """
    answer = yield Request(path="api/login?format=json")
    if answer.status != HTTPStatus.OK:
        raise _not_signed_in(answer)
    return _email(answer.body)


def logout() -> Steps[None]:
    """End the session by signing in with a wrong token, because the API has no other way.  The response is ignored."""
    yield Request(method="POST", path="api/login?format=json", body="token=none")


def revoke() -> Steps[None]:
    """Revoke the token for programs with which the requests are sent."""
    yield from _posted("api/device/revoke", "")


def services() -> Steps[list[ServiceRow]]:
    """The services in the order of ITK-SNAP's menu: by name, then by version as text."""
    body = yield from _asked("api/services?format=json")
    rows = decode(body, Enveloped[list[ServiceRow]])
    return sorted(rows.result, key=lambda row: (row.name, row.version))


def service_detail(githash: str) -> Steps[ServiceDetail]:
    """The description of the service with the hash ``githash``.  Of all responses, only this one is not the value of a
    member ``result``.
    """
    body = yield from _asked(f"api/services/{githash}/detail")
    return decode(body, ServiceDetail)


def create_ticket(service: str, key: str = "") -> Steps[int]:
    """Create a ticket and return its number; 0 if the response is no number.  ``service`` is a hash of 40 digits or a
    name.

    ``key``, of letters and digits, is sent as an idempotency key: a server that knows such keys answers a repeated
    request with the same ticket.
    """
    field = "githash" if _GITHASH.fullmatch(service) else "name"
    headers = {IDEMPOTENCY_KEY: f'"{key}"'} if key else {}
    answer = yield Request(
        method="POST", path="api/tickets", body=f"{field}={service}", headers=headers
    )
    return _atoi(body_of(answer))


def knows_creation_keys() -> Steps[bool]:
    """True if the server's description of its API says that ``create_ticket`` takes a key.  False from a server
    without such a description.
    """
    try:
        body = yield from _asked("api/openapi.json")
        paths = decode(body, ApiDescription).paths
    except Refused as error:
        if error.status not in _UNKNOWN:
            raise
        return False
    except NotUnderstood:
        return False
    creation = paths.get("/api/tickets", ApiPath()).post
    return any(each.name == IDEMPOTENCY_KEY for each in creation.parameters)


def upload(
    ticket: int, file: Path, progress: Progress | None = None, *, resumes: bool = False
) -> Steps[None]:
    answer = yield Upload(ticket=ticket, file=file, progress=progress, resumes=resumes)
    body_of(answer)


def submit(ticket: int) -> Steps[None]:
    """Queue the ticket for a provider; later uploads are refused."""
    yield from _posted(f"api/tickets/{ticket}/status", "status=ready")


def rename(ticket: int, title: str) -> Steps[None]:
    """Set the ticket's title, which only its owner sees.  Raises Refused, also if the server is older and does not know
    the request.
    """
    yield from _posted(f"api/tickets/{ticket}/title", urlencode({"title": title}, errors="replace"))


def tickets() -> Steps[list[TicketRow]]:
    """The user's own tickets, except deleted ones."""
    body = yield from _asked("api/tickets?format=json")
    return decode(body, Enveloped[list[TicketRow]]).result


def summaries() -> Steps[list[Summary]]:
    """The user's own tickets, except deleted ones, with names and times.  An older server does not have this request;
    then the rows come from ``tickets``, and names and times are "".
    """
    try:
        body = yield from _asked("api/tickets/summary?format=json")
    except Refused as error:
        if error.status not in _UNKNOWN:
            raise
        rows = yield from tickets()
        return [Summary(id=row.id, service=row.service, status=row.status) for row in rows]
    return decode(body, Enveloped[list[Summary]]).result


def service_estimates(size_bytes: int = 0) -> Steps[dict[str, str]]:
    """For each service, by its hash, a sentence about how long a ticket with files of ``size_bytes`` would take; empty
    if the server has no estimates, and after any error.
    """
    address = f"api/services/estimates?format=json&bytes={size_bytes}"
    rows = yield from _estimates(address, Enveloped[list[ServiceEstimate]])
    return {row.githash: row.sentence for row in rows.result} if rows else {}


def ticket_estimate(ticket: int) -> Steps[str]:
    """A sentence about when an open ticket of the user will be done; "" if the server has no estimate, and after any
    error.
    """
    address = "api/tickets/estimates?format=json"
    rows = yield from _estimates(address, Enveloped[list[TicketEstimate]])
    own = [row for row in rows.result if row.id == ticket] if rows else []
    return own[0].sentence if own else ""


def _estimates(address: str, kind: type[T]) -> Steps[T | None]:
    """The decoded estimates; None from a server without estimates and after any error, because estimates are not
    essential.
    """
    try:
        body = yield from _asked(address)
        return decode(body, kind)
    except ClientError:
        return None


def detail(ticket: int, since: int = 0) -> Steps[Detail]:
    """The state of a ticket, and its log lines with ids above ``since``."""
    body = yield from _asked(f"api/tickets/{ticket}/detail?since={since}")
    return decode(body, Enveloped[Detail]).result


def detail_with_retries(ticket: int, since: int = 0) -> Steps[Detail]:
    """The state of a ticket, and its log lines with ids above ``since``.  After a bad response the request is repeated,
    AFTER_ERROR_S seconds later.

    Raises the error of the ERRORS_IN_A_ROW-th bad response in a row, and Unreachable at once.
    """
    for _ in range(ERRORS_IN_A_ROW - 1):
        try:
            found = yield from detail(ticket, since)
        except (Refused, NotUnderstood):
            yield Pause(seconds=AFTER_ERROR_S)
        else:
            return found
    return (yield from detail(ticket, since))


def progress(ticket: int) -> Steps[float]:
    """The ticket's progress, 0 to 1, by the request of ``itksnap-wt -dss-tickets-progress``."""
    body = yield from _asked(f"api/tickets/{ticket}/progress")
    return _number(body)


def queue_position(ticket: int) -> Steps[int]:
    """The ticket's place in its queue, from 1; 0 if it does not wait."""
    body = yield from _asked(f"api/tickets/{ticket}/queuepos")
    return _atoi(body)


def files(ticket: int, area: Area = "results") -> Steps[list[tuple[int, str]]]:
    """Index and name of each file in the ticket's ``area``.  Raises NotUnderstood for a row without a name, which would
    make ITK-SNAP read past the row's end.
    """
    body = yield from _asked(f"api/tickets/{ticket}/files/{area}")
    rows = read_table(body.decode(errors="replace"))
    if any(len(row) < 2 for row in rows):
        raise NotUnderstood("The server's list of files cannot be read.")
    return [(_atoi(row[0].encode()), row[1]) for row in rows]


def download_results(
    ticket: int,
    folder: Path,
    moved: Progress | None = None,
    there: Callable[[Path], bool] = lambda _: False,
    check: Callable[[Sequence[Path]], object] = lambda _: None,
) -> Steps[list[Path]]:
    """Download all results to ``folder`` and return their paths.  Existing files are replaced, except those for which
    ``there`` returns True.  ``check`` is called with all paths before anything is written, and may raise.

    Raises ClientError if the ticket has no results.
    """
    found = yield from result_paths(ticket, folder)
    check([path for _, path in found])
    folder.mkdir(parents=True, exist_ok=True)
    for index, path in found:
        if there(path):
            continue
        address = f"api/tickets/{ticket}/files/results/{index}"
        body_of((yield Download(path=address, target=path, progress=moved)))
    return [path for _, path in found]


def result_paths(ticket: int, folder: Path) -> Steps[list[tuple[int, Path]]]:
    """Index of each result, and the path in ``folder`` to which it is downloaded.  Raises ClientError if the ticket has
    no results.
    """
    found = yield from files(ticket)
    if not found:
        raise ClientError(f"Ticket {ticket} has no results.")
    return [(index, folder / _plain(name)) for index, name in found]


def download_archive(ticket: int, target: Path, moved: Progress | None = None) -> Steps[None]:
    """Download all results as one zip archive."""
    address = f"api/tickets/{ticket}/archive"
    body_of((yield Download(path=address, target=target, progress=moved)))


def checksums(ticket: int) -> Steps[dict[str, str]]:
    """SHA-256 of each result by name; empty if the server does not provide them."""
    try:
        body = yield from _asked(f"api/tickets/{ticket}/checksums?format=json")
    except Refused as error:
        if error.status not in _UNKNOWN:
            raise
        return {}
    return {row.name: row.sha256 for row in decode(body, Enveloped[list[Checksum]]).result}


def retry(ticket: int) -> Steps[None]:
    """Queue a failed or timed-out ticket again, with its files.  Raises Refused for a ticket in another state."""
    yield from _asked(f"api/tickets/{ticket}/retry")


def delete(ticket: int, within_s: float | None = None) -> Steps[None]:
    """Delete the ticket and all its files, even if a provider works on it.  ``within_s`` replaces the usual time
    limits.
    """
    yield from _asked(f"api/tickets/{ticket}/delete", within_s)


def _asked(path: str, within_s: float | None = None) -> Steps[bytes]:
    answer = yield Request(path=path, within_s=within_s)
    return body_of(answer)


def _posted(path: str, body: str) -> Steps[bytes]:
    answer = yield Request(method="POST", path=path, body=body)
    return body_of(answer)


def _not_signed_in(answer: Answer) -> ClientError:
    """SignInRefused for status 401, otherwise Refused.  ITK-SNAP itself shows every status except 200 as "not signed
    in".
    """
    if answer.status == HTTPStatus.UNAUTHORIZED:
        return SignInRefused("The server does not accept the token, or the session has ended.")
    return Refused(answer.status, answer.body.decode(errors="replace"))


def _email(body: bytes) -> str:
    email = decode(body, Enveloped[Account]).result.email
    if not email:
        raise SignInRefused("The server does not say who is signed in.")
    return email


def _atoi(body: bytes) -> int:
    """The number that C's ``atoi`` reads from a response: blanks are skipped, digits are read, and the rest is ignored;
    0 without digits.
    """
    found = re.match(rb"\s*([+-]?\d+)", body)
    return int(found[1]) if found else 0


def _number(body: bytes) -> float:
    try:
        return float(body)
    except ValueError as error:
        raise NotUnderstood("The server's answer is not a number.") from error


def _plain(name: str) -> str:
    """``name`` unchanged.  Raises NotUnderstood if the name, which the server gave, leads out of the folder that the
    user chose.
    """
    if name in {"", ".", ".."} or set(name) & set("/\\:\0"):
        raise NotUnderstood("The server's list of files holds a name that is not allowed.")
    return name
