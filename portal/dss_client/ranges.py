"""Downloads a file and continues after a lost connection with a Range request, if the server gives the file's version
(RFC 9110, 14.2 and 13.1.5).
"""

import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from http import HTTPStatus
from typing import TypeAlias

import httpx

from dss_client.errors import Refused, Unreachable
from dss_client.multipart import Progress
from dss_client.partial_downloads import PartialDownload
from dss_client.retries import Retries

RETRY_S = 600.0
"""Longest time in seconds without any further byte before a download fails."""

Get: TypeAlias = Callable[[Mapping[str, str]], AbstractContextManager[httpx.Response]]
"""Requests the file, with the given headers in addition to the usual ones."""

_BEGIN = re.compile(r"bytes (\d+)-")


def fetch(
    get: Get,
    draft: PartialDownload,
    progress: Progress | None = None,
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Download to ``draft`` the bytes of the file that it does not have yet.

    If the server gives the file's version, temporary errors are retried; Unreachable or Refused is raised after RETRY_S
    without progress.  Without a version, and for another refusal, the error is raised at once.
    """
    part, retries = _Part(draft, progress), Retries(RETRY_S, pause)
    while True:
        before = part.done_bytes
        try:
            with get(part.headers()) as response:
                complete = part.take(response)
        except (Unreachable, Refused) as error:
            if not draft.version:
                raise
            if part.done_bytes > before:
                retries.reset()
            retries.wait(error)
        else:
            if complete:
                return


class _Part:
    """The part of the file that was received so far."""

    def __init__(self, draft: PartialDownload, progress: Progress | None) -> None:
        self._draft = draft
        self._progress = progress
        self.done_bytes = draft.size_bytes

    def headers(self) -> dict[str, str]:
        """The headers of the next request, for the bytes that are missing.  If the file's version has changed on the
        server, the server sends the complete file.
        """
        if not self.done_bytes:
            return {}
        return {"Range": f"bytes={self.done_bytes}-", "If-Range": self._draft.version}

    def take(self, response: httpx.Response) -> bool:
        """Write the bytes of a response to the file.  True if the file is then complete; False if the server refuses
        the range, so that the complete file must be requested.

        Raises Refused if the response contains neither the file nor its missing part.
        """
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and self.done_bytes:
            self.done_bytes = 0
            return False
        if not self._goes_on(response):
            if response.status_code != HTTPStatus.OK:
                body = b"".join(response.iter_raw())
                raise Refused(response.status_code, body.decode(errors="replace"))
            self.done_bytes = 0
            tag = response.headers.get("ETag", "")
            self._draft.begin("" if tag.startswith("W/") else tag)
        self._write(response)
        return True

    def _goes_on(self, response: httpx.Response) -> bool:
        begin = _BEGIN.match(response.headers.get("Content-Range", ""))
        is_part = response.status_code == HTTPStatus.PARTIAL_CONTENT and begin is not None
        return is_part and begin is not None and int(begin[1]) == self.done_bytes > 0

    def _write(self, response: httpx.Response) -> None:
        total_bytes = self.done_bytes + int(response.headers.get("Content-Length", 0))
        with self._draft.path.open("ab") as file:
            for chunk in response.iter_raw():
                file.write(chunk)
                self.done_bytes += len(chunk)
                if self._progress is not None:
                    self._progress(self.done_bytes, total_bytes)
