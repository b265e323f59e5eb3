"""The session file."""

from pathlib import Path

import httpx

from dss_client.cookie_jar import CookieJar, jar_name

URL = httpx.URL("http://127.0.0.1:8080/api/tickets")


def answer(*cookies: str) -> httpx.Response:
    headers = [("Set-Cookie", cookie) for cookie in cookies]
    return httpx.Response(200, headers=headers, request=httpx.Request("POST", URL))


def signed_in(path: Path, cookie: str = "webpy_session_id=abc; HttpOnly; Path=/") -> CookieJar:
    jar = CookieJar(path)
    jar.replace(answer(cookie))
    return jar


def test_a_session_outlives_the_program(tmp_path: Path) -> None:
    signed_in(tmp_path / "jar")

    assert CookieJar(tmp_path / "jar").header(URL) == "webpy_session_id=abc"


def test_nobody_else_may_read_the_session(tmp_path: Path) -> None:
    signed_in(tmp_path / "new" / "jar")

    assert (tmp_path / "new" / "jar").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_a_cookie_is_written_as_libcurl_writes_it(tmp_path: Path) -> None:
    signed_in(tmp_path / "jar")

    row = (tmp_path / "jar").read_text(encoding="utf-8").splitlines()[-1]
    assert row == "127.0.0.1\tFALSE\t/\tFALSE\t0\twebpy_session_id\tabc"


def test_a_refused_login_leaves_the_session_alone(tmp_path: Path) -> None:
    jar = signed_in(tmp_path / "jar")

    jar.replace(answer())

    assert jar.header(URL) == "webpy_session_id=abc"


def test_a_login_replaces_the_session_altogether(tmp_path: Path) -> None:
    jar = signed_in(tmp_path / "jar", "old=1; Path=/")

    jar.replace(answer("new=2; Path=/"))

    assert jar.header(URL) == "new=2"


def test_a_cookie_of_another_domain_is_dropped() -> None:
    jar = CookieJar()

    jar.replace(answer("webpy_session_id=abc; Domain=dss.itksnap.org; Path=/"))

    assert jar.header(URL) == ""


def test_a_secure_cookie_does_not_travel_in_the_clear() -> None:
    jar = CookieJar()

    jar.replace(answer("webpy_session_id=abc; Secure; Path=/"))

    assert jar.header(URL) == ""


def test_a_broken_file_means_that_nobody_is_signed_in(tmp_path: Path) -> None:
    (tmp_path / "jar").write_text("not a cookie jar", encoding="utf-8")

    assert CookieJar(tmp_path / "jar").header(URL) == ""


def test_the_file_is_named_by_the_md5_of_the_address() -> None:
    assert jar_name("abc") == "cookie_900150983cd24fb0d6963f7d28e17f72.jar"
