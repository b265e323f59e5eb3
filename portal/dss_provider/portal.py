"""A provider's requests to the portal, over HTTPS with a token.  Except for ``announce`` and ``claim``, they are
repeated while the portal restarts.
"""

import json
import mimetypes
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode

from dss_client import resumable
from dss_client.cookie_jar import CookieJar
from dss_client.errors import Refused
from dss_client.rest import RestClient
from dss_client.retries import Retries, with_retries
from dss_client.steps import Request, body_of
from dss_client.tables import read_table

T = TypeVar("T")

_STATUS = re.compile("[a-z]{1,20}")

RETRY_S = 1800.0
"""Longest time in seconds without an answer of the portal before a request fails."""


ANNOUNCE_WITHIN_S = 5.0
"""Time limit in seconds of an announcement; short, because the next announcement follows soon."""

ANNOUNCED = {"announced": "1"}
"""A field in the requests of a program that also sends announcements.  The portal then does not take these requests as
a sign that the service is served; only the announcements count.
"""


@dataclass(frozen=True, kw_only=True)
class PublisherAnnouncement:
    """What a publisher announces: it processes ``parallel`` tickets at a time of the service with the hash ``githash``;
    ``instance`` names the program.
    """

    githash: str
    instance: str
    parallel: int


class Portal:
    """A provider's connection to the portal.  Not thread-safe.  The methods raise Refused, and Unreachable if the
    portal does not answer for ``retry_s`` seconds; ``announce`` and ``claim`` at the first failure.
    """

    def __init__(
        self,
        server: str,
        token: str,
        pause: Callable[[float], object] = time.sleep,
        retry_s: float = RETRY_S,
    ) -> None:
        self._rest = RestClient(server, CookieJar(None), bearer=token)
        self._pause = pause
        self._retry_s = retry_s

    def close(self) -> None:
        self._rest.close()

    def services(self) -> list[tuple[str, str, str, str]]:
        """Name, version, hash and provider of each service that the token's user provides."""
        rows = read_table(self._get("api/pro/services").decode())
        return [(r[0], r[1], r[2], r[3]) for r in rows if len(r) > 3]

    def descriptor(self, githash: str) -> dict[str, object]:
        """What users read of a service that the token's user provides.  Raises ValueError or TypeError if the response
        is no JSON object.
        """
        try:
            text = self._get(f"api/pro/services/{githash}/detail")
        except Refused as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            text = self._get(
                f"api/services/{githash}/detail"
            )  # of portals until 0.1; needs the scope tickets
        found = json.loads(text)
        if not isinstance(found, dict):
            raise TypeError("The response is no JSON object.")
        return found

    def register(self, provider: str, descriptor: str) -> None:
        """Add a service, or a new version of it, to the portal's catalogue.  Needs a token of a site admin."""
        self._form(f"api/admin/providers/{provider}/services", descriptor=descriptor)

    def announce(
        self, announcement: PublisherAnnouncement, *, ends: bool, asks: bool = False
    ) -> int:
        """Announce that a publisher serves its service; with ``ends``, that it claims no more tickets.  The request is
        not repeated.

        With ``asks``, returns the number of other programs that serve the service; 0 without ``asks``, or if the portal
        does not tell.
        """
        body = _encoded(
            services=announcement.githash,
            code=announcement.instance,
            parallel=str(announcement.parallel),
            ends=str(int(ends)),
            others=str(int(asks)),
        )
        request = Request(
            method="POST", path="api/pro/publishers", body=body, within_s=ANNOUNCE_WITHIN_S
        )
        count = body_of(self._rest.perform(request)).decode(errors="replace")
        return int(count) if re.fullmatch("[0-9]{1,6}", count) else 0

    def claim(self, githash: str, provider: str, instance: str, key: str) -> int | None:
        """Claim a waiting ticket and return its number; None if the response names none, because no ticket waits.

        This request is not repeated here.  If its response was lost, a later request with the same ``key`` gets the
        same ticket.
        """
        body = _encoded(services=githash, provider=provider, code=instance, key=key, **ANNOUNCED)
        rows = read_table(self._rest.post("api/pro/services/claims", body).decode())
        return int(rows[0][0]) if rows and rows[0][0].isdigit() else None

    def status(self, ticket: int) -> str:
        """The ticket's status.  The request also renews the claim.  Raises ValueError if the response is no status."""
        text = (
            self._get(f"api/pro/tickets/{ticket}/status?{_encoded(**ANNOUNCED)}").decode().strip()
        )
        if not _STATUS.fullmatch(text):
            raise ValueError("The response is no status of a ticket.")
        return text

    def download_input(self, ticket: int, folder: Path) -> None:
        rows = read_table(self._get(f"api/pro/tickets/{ticket}/files/input").decode())
        for index, name in ((row[0], Path(row[1]).name) for row in rows if len(row) > 1):
            path = f"api/pro/tickets/{ticket}/files/input/{index}"
            self._with_retries(lambda p=path, n=name: self._rest.download(p, folder / n))  # type: ignore[misc]  # bound now

    def upload_result(self, ticket: int, file: Path) -> None:
        """Upload a result file.  It replaces an earlier file of the same name."""
        is_small = file.stat().st_size <= resumable.SMALL_BYTES
        if is_small or not self._resumed(ticket, file, {"area": "results"}):
            path = f"api/pro/tickets/{ticket}/files/results"
            self._with_retries(lambda: self._rest.upload(path, file))

    def attach(self, ticket: int, file: Path) -> None:
        """Upload a file, which is attached to the ticket's next log line."""
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        fields = {"desc": file.name, "mime_type": kind}
        if self._resumed(ticket, file, {"area": "attachments", **fields}):
            return
        path = f"api/pro/tickets/{ticket}/attachments"
        self._with_retries(lambda: self._rest.upload(path, file, fields=fields))

    def _resumed(self, ticket: int, file: Path, metadata: Mapping[str, str]) -> bool:
        """Upload the file over any number of connections.  False if the portal is too old for such uploads."""
        retries = Retries(self._retry_s, self._pause, resumable.BUSY_ELSEWHERE)
        address = f"api/pro/tickets/{ticket}/uploads"
        sending = resumable.FileToUpload(address=address, file=file, metadata=metadata)
        return resumable.upload_to(self._rest, sending, retries)

    def log(self, ticket: int, level: str, message: str) -> None:
        """Add a line to the ticket's log; only once, even if a response is lost and the request is repeated.  ``level``
        is info, warning or error.
        """
        self._form(f"api/pro/tickets/{ticket}/{level}", message=message, key=uuid.uuid4().hex)

    def progress(self, ticket: int, fraction: float) -> None:
        words = {"chunk_start": "0", "chunk_end": "1", "progress": f"{fraction:.4f}", **ANNOUNCED}
        self._form(f"api/pro/tickets/{ticket}/progress", **words)

    def finish(self, ticket: int, status: str) -> None:
        """End the ticket with ``status``.  For ``success`` the portal first checks the results; raises Refused with its
        sentence if they are not accepted.
        """
        self._form(f"api/pro/tickets/{ticket}/status", status=status, **ANNOUNCED)

    def _get(self, path: str) -> bytes:
        return self._with_retries(lambda: self._rest.get(path))

    def _form(self, path: str, **fields: str) -> bytes:
        return self._with_retries(lambda: self._rest.post(path, _encoded(**fields)))

    def _with_retries(self, request: Callable[[], T]) -> T:
        return with_retries(request, self._retry_s, self._pause)


def _encoded(**fields: str) -> str:
    return urlencode(fields)
