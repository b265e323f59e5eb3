"""Sends HTTP requests exactly as ITK-SNAP does through libcurl.  Facts: RESTClient.cxx of ITK-SNAP, and its recorded
traffic.
"""

import os
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, assert_never, cast

import httpx

from dss_client import ranges, resumable
from dss_client.cookie_jar import CookieJar
from dss_client.errors import Unreachable
from dss_client.multipart import FileForm, Progress
from dss_client.partial_downloads import partial_download
from dss_client.proxies import proxy_for, require_address
from dss_client.resumable import Reply
from dss_client.steps import Answer, Download, Pause, Request, Step, Steps, Upload, body_of
from dss_client.unreachable import unreachable
from dss_process.proxies import Proxy

T = TypeVar("T")

FORM = "application/x-www-form-urlencoded"
CONNECT_S = 30.0
SILENCE_S = 300.0
"""Longest time in seconds without data, after which a request fails.  It is longer than the pauses of a slow
connection; ITK-SNAP itself has no timeouts.
"""
TIMEOUT = httpx.Timeout(SILENCE_S, connect=CONNECT_S)
RESUMABLE_TIMEOUT = httpx.Timeout(120.0, connect=CONNECT_S, write=30.0)
"""Timeouts of the requests of resumable uploads.  They are shorter, because it costs little to resume a request; the
server may need a minute for the last part of a large file.
"""


class RestClient:
    """One session with one server.  Not thread-safe.

    Except for ``exchange``, the requests equal ITK-SNAP's byte for byte: HTTP/1.1, no User-Agent, bodies not encoded,
    redirects not followed; only status 200 is success.  Unlike ITK-SNAP, the client keeps one connection for all
    requests, and sends ``bearer``, a token for programs, instead of the session's cookies.
    """

    def __init__(
        self,
        server: str,
        jar: CookieJar,
        transport: httpx.BaseTransport | None = None,
        bearer: str = "",
    ) -> None:
        require_address(server)
        self.bearer = bearer
        self.server = server
        self._jar = jar
        self._proxy = proxy_for(server, os.environ) if transport is None else None
        self._http = httpx.Client(
            verify=tls(server),
            transport=transport,
            timeout=TIMEOUT,
            proxy=self._proxy.address if self._proxy else None,
            trust_env=False,  # httpx raises on NO_PROXY entries that curl understands
        )

    @property
    def proxy(self) -> Proxy | None:
        """The proxy for the server; None for a direct connection."""
        return self._proxy

    def close(self) -> None:
        self._http.close()

    def run(self, steps: Steps[T], pause: Callable[[float], object] = time.sleep) -> T:
        """Perform a flow of the protocol and return its value.  Errors are raised inside the flow."""
        try:
            step = next(steps)
            while True:
                try:
                    answer = self.perform(step, pause)
                except BaseException as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            return cast("T", end.value)

    def perform(self, step: Step, pause: Callable[[float], object] = time.sleep) -> Answer:
        """Perform one step and return the response; an empty Answer for a transfer or a pause.  Raises Unreachable; a
        transfer of a file also raises Refused, NotUnderstood, and OSError.
        """
        match step:
            case Request():
                with self._answer(self.request_of(step)) as response:
                    self.keep(step, response)
                    return _answer(response)
            case Upload():
                self._upload(step, pause)
            case Download(path=path, target=target, progress=progress):
                self.download(path, target, progress, pause)
            case Pause(seconds=seconds):
                pause(seconds)
            case _:
                assert_never(step)
        return Answer()

    def request_of(self, request: Request) -> httpx.Request:
        """The HTTP request for ``request``, with the headers and cookies that are sent."""
        if request.method == "POST":
            sent = self._form(request.path, request.body, cookie=not request.signs_in)
            sent.headers.update(request.headers)
        else:
            sent = self._request("GET", request.path)
        if request.within_s is not None:
            sent.extensions["timeout"] = httpx.Timeout(request.within_s).as_dict()
        return sent

    def keep(self, request: Request, response: httpx.Response) -> None:
        """Store the cookies of ``response`` if ``request`` was a sign-in."""
        if request.signs_in:
            self._jar.replace(response)

    def get(self, path: str) -> bytes:
        """The body of the response to a GET request.  Raises Refused or Unreachable, as ``post``, ``upload`` and
        ``download`` do.
        """
        return body_of(self._read(self._request("GET", path)))

    def post(self, path: str, body: str) -> bytes:
        """Send ``body`` without encoding it, as ITK-SNAP does, and return the response's body."""
        return body_of(self._read(self._form(path, body)))

    def upload(
        self,
        path: str,
        file: Path,
        progress: Progress | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> bytes:
        """Upload ``file`` as a stream with a Content-Length, and return the response's body.

        ``fields`` are further parts of the form.
        """
        form = FileForm(file, fields)
        headers = {"Content-Length": str(form.length_bytes), "Content-Type": form.content_type}
        return body_of(self._read(self._request("POST", path, headers, form.chunks(progress))))

    def _upload(self, step: Upload, pause: Callable[[float], object]) -> None:
        form = f"api/tickets/{step.ticket}/files/input"
        if not step.resumes:
            self.upload(form, step.file, step.progress)
        elif step.file.stat().st_size <= resumable.SMALL_BYTES:
            resumable.until_it_succeeds(lambda: self.upload(form, step.file, step.progress), pause)
        elif not resumable.upload(self, step.ticket, step.file, step.progress, pause):
            self.upload(form, step.file, step.progress)

    def exchange(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        content: bytes | Iterator[bytes] = b"",
    ) -> Reply:
        """Send a request that ITK-SNAP does not use, such as those of resumable uploads.  Returns responses of any
        status; raises Unreachable.
        """
        request = self._request(method, path, dict(headers), content)
        request.extensions["timeout"] = RESUMABLE_TIMEOUT.as_dict()
        with self._answer(request) as response:
            body = b"".join(response.iter_raw())
            return Reply(status=response.status_code, headers=response.headers, body=body)

    def download(
        self,
        path: str,
        target: Path,
        progress: Progress | None = None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        """Download to a temporary file, then rename it to ``target``, so that ``target`` is either complete or
        unchanged.

        After a lost connection, and in a later call, the download continues at the first missing byte if the server
        gives the file's version.
        """
        with partial_download(target, f"{self.server}/{path}") as draft:
            ranges.fetch(
                lambda more: self._answer(self._request("GET", path, dict(more))),
                draft,
                progress,
                pause,
            )

    def _form(self, path: str, body: str, *, cookie: bool = True) -> httpx.Request:
        content = body.encode()
        headers = {"Content-Length": str(len(content)), "Content-Type": FORM}
        return self._request("POST", path, headers, content, cookie=cookie)

    def _request(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        content: bytes | Iterable[bytes] | None = None,
        *,
        cookie: bool = True,
    ) -> httpx.Request:
        """The request, with its headers in libcurl's order: Host, Accept, Cookie, Content-Length, Content-Type."""
        url = self._url(path)
        first = {"Host": url.netloc.decode(), "Accept": "*/*"}
        cookies = {"Cookie": text} if cookie and (text := self._jar.header(url)) else {}
        if self.bearer:
            cookies = {"Authorization": f"Bearer {self.bearer}"}
        return httpx.Request(
            method, url, headers=first | cookies | (headers or {}), content=content
        )

    def _url(self, path: str) -> httpx.URL:
        """The address of ``path``.  A trailing slash of ``server`` results in two slashes, as in ITK-SNAP."""
        try:
            url = httpx.URL(f"{self.server}/{path}")
        except httpx.InvalidURL as error:
            raise Unreachable(f"{self.server} is not an address.") from error
        require_address(self.server)
        return url

    def _read(self, request: httpx.Request) -> Answer:
        with self._answer(request) as response:
            return _answer(response)

    @contextmanager
    def _answer(self, request: httpx.Request) -> Iterator[httpx.Response]:
        try:
            response = self._http.send(request, stream=True, auth=None, follow_redirects=False)
            try:
                yield response
            finally:
                response.close()
        except httpx.TransportError as error:
            raise unreachable(self.server, self._proxy, error) from error


def tls(server: str) -> ssl.SSLContext | bool:
    """The value of httpx's ``verify``: the system's certificates for HTTPS.  For HTTP it is False, because loading
    certificates takes longer than a request.
    """
    return ssl.create_default_context() if server.startswith("https:") else False


def _answer(response: httpx.Response) -> Answer:
    return Answer(status=response.status_code, body=b"".join(response.iter_raw()))
