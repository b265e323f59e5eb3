"""Only heads that mean the same to every server are read without h11."""

import pytest

from dss_portal.serving.heads import MOST_BODY_BYTES, MOST_BYTES, head

HOST = b"Host: localhost:8080\r\n"


def test_the_head_of_a_poll_is_read() -> None:
    lines = b"GET /api/tickets/12/detail?since=3 HTTP/1.1\r\nHOST: a\r\nCookie: x=y; z=1\r\nAccept: */*\r\n\r\n"

    found = head(lines)

    assert found is not None
    assert (found.method, found.path, found.query) == ("GET", "/api/tickets/12/detail", b"since=3")
    assert found.headers == [(b"host", b"a"), (b"cookie", b"x=y; z=1"), (b"accept", b"*/*")]
    assert (found.size_bytes, found.body_bytes) == (len(lines), 0)


def test_a_body_is_counted_by_its_length() -> None:
    lines = b"POST /api/tickets HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\ngithash=a1"

    found = head(lines)

    assert found is not None
    assert (found.size_bytes, found.body_bytes) == (len(lines) - 10, 10)


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /api/tickets HTTP/1.1\r\nHost: a\r\n",  # not complete
        b"GET /api/tickets HTTP/1.0\r\nHost: a\r\n\r\n",
        b"GET /api/tickets HTTP/1.1\r\n\r\n",
        b"GET  /api/tickets HTTP/1.1\r\nHost: a\r\n\r\n",
        b"get /api/tickets HTTP/1.1\r\nHost: a\r\n\r\n",
        b"DELETE /api/tickets HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://a/api/tickets HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /api/%74ickets HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /api/tickets HTTP/1.1\nHost: a\r\n\r\n",
        b"GET /api/tickets HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /api/tickets HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET /api/tickets HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n",
        b"GET /api/tickets HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n",
        b"GET /api/tickets HTTP/1.1\r\nHost: a\r\nX: 1 \r\n\r\n",
        b"GET /api/tickets HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
        b"GET /api/tickets HTTP/1.1\r\nHost: a\r\nX: \xc3\xa9\r\n\r\n",
        b"GET /api/tickets HTTP/1.1\r\nHost: a\r\nX_y: 1\r\n\r\n",
        b"GET /api/tickets HTTP/1.1\r\nHost: a\r\nX: 1\nY: 2\r\n\r\n",
        b"GET /api/tickets HTTP/1.1\r\nHost: a\r\nX: 1\rY: 2\r\n\r\n",
        b"GET /api/tickets HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET /api/tickets HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"GET /api/tickets HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n",
        b"GET /api/tickets HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        b"POST /api/tickets HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /api/tickets HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
        b"POST /api/tickets HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
        b"POST /api/tickets HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        b"POST /api/tickets HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /api/tickets HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /api/tickets HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (MOST_BODY_BYTES + 1),
        b"GET /a HTTP/1.1\r\nHost: a\r\nX: " + b"x" * MOST_BYTES + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"",
    ],
)
def test_what_is_not_plain_is_left_to_h11(request_: bytes) -> None:
    assert head(request_) is None
