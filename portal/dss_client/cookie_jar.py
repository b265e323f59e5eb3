"""Stores the cookies of a session in a file between two runs, in the format of libcurl and ITK-SNAP."""

import hashlib
from copy import copy
from http.cookiejar import Cookie, LoadError, MozillaCookieJar
from pathlib import Path

import httpx

from dss_datastore.writing import replacing


class CookieJar:
    """The cookies of one server.  As in ITK-SNAP, only a login changes them (RESTClient.cxx, SetupCookies).

    The file ``path`` is read at once and written by ``replace``.  Without ``path`` the session ends with the program.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._cookies = httpx.Cookies(_load(path))

    def header(self, url: httpx.URL) -> str:
        """The Cookie header for ``url``; "" if no cookie applies to it."""
        request = httpx.Request("GET", url)
        self._cookies.set_cookie_header(request)
        return str(request.headers.get("Cookie", ""))

    def replace(self, response: httpx.Response) -> None:
        """Replace the cookies by those of ``response``, the response to a login.  If it has none, the old ones stay."""
        received = httpx.Cookies(MozillaCookieJar())
        received.extract_cookies(response)
        if len(received.jar) == 0:
            return
        self._cookies = received
        if self._path is not None:
            _save(received, self._path)


def jar_name(server: str) -> str:
    """The file name that ITK-SNAP gives to the cookie file of ``server`` (RESTClient.cxx, GetCookieFile)."""
    digest = hashlib.md5(server.encode(errors="surrogateescape"), usedforsecurity=False).hexdigest()
    return f"cookie_{digest}.jar"


def forget_jar(path: Path) -> bool:
    """Delete the stored session.  True if there was one."""
    had = path.exists()
    path.unlink(missing_ok=True)
    return had


def _load(path: Path | None) -> MozillaCookieJar:
    jar = MozillaCookieJar()
    if path is None or not path.exists():
        return jar
    try:
        jar.load(str(path), ignore_discard=True, ignore_expires=True)
    except LoadError:
        return jar  # libcurl cannot read the file either, so the user is not signed in
    for cookie in jar:
        cookie.expires = cookie.expires or None  # libcurl writes 0 for "until the browser closes"
    jar.clear_expired_cookies()
    return jar


def _save(cookies: httpx.Cookies, path: Path) -> None:
    """Write ``cookies`` to the file ``path`` in libcurl's format.  Only the file's owner can read it."""
    stored = MozillaCookieJar()
    for cookie in cookies.jar:
        stored.set_cookie(_for_libcurl(cookie))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with replacing(path, mode=0o600) as draft:
        stored.save(str(draft), ignore_discard=True, ignore_expires=True)


def _for_libcurl(cookie: Cookie) -> Cookie:
    written = copy(cookie)
    written.expires = cookie.expires or 0  # Python leaves the field empty, which libcurl misreads
    return written
