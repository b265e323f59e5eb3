"""The bytes that our emulation sends, beside those that the real client sent to a recording proxy."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dss_client.errors import ClientError, NotUnderstood, Refused, Unreachable
from dss_client.itksnap import ItkSnap
from support.recorder import COOKIE, Recorder, ok, recording, refusal

HASH = "6303cd5d623a932b4648d76ef32d71825cbaec0a"
TOKEN = "13c416d90690c7baae6590672f790f2b5ef698bb82fea51d"
LAYER = "layer_000_111737d6f9a6e678718fef819ecc5c8e.nii.gz"
ROWS = b'{"result": []}'
DETAIL = b'{"result": {"status": "ready", "progress": 0, "queue_position": 1, "log": []}}'

ANSWERS = {
    "POST /api/login": ok(b"logged in as a@b \n", f"Set-Cookie: {COOKIE}; HttpOnly; Path=/"),
    "POST /api/login?format=json": ok(
        b'{"result": {"email": "a@b"}}', f"Set-Cookie: {COOKIE}; HttpOnly; Path=/"
    ),
    "GET /api/tickets": ok(ROWS, "Set-Cookie: webpy_session_id=another; HttpOnly; Path=/"),
    "GET /api/services": ok(ROWS),
    "POST /api/tickets": ok(b"1"),
    "POST /api/tickets/1/": ok(b"success"),
    "GET /api/tickets/1/detail": ok(DETAIL),
    "GET /api/tickets/1/progress": ok(b"0.25"),
    "GET /api/tickets/1/delete": ok(b"deleted"),
    "GET /api/tickets/1/files/results": ok(b"0,a.nii.gz\r\n1,b.itksnap\r\n"),
    "GET /api/tickets/1/files/results/": ok(b"content"),
    "GET //api": ok(ROWS),
    "GET /dss/api": ok(ROWS),
}


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording(dict(ANSWERS)) as recorder:
        yield recorder


@pytest.fixture
def client(recorder: Recorder) -> Iterator[ItkSnap]:
    """Signed in, with nothing recorded yet."""
    with ItkSnap(recorder.address) as client:
        client.login_as_tool(TOKEN)
        recorder.requests.clear()
        yield client


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A request of the real client.  Part headers stand in the body."""

    line: str
    headers: list[tuple[str, str]]
    body: list[str]


@pytest.fixture(scope="session")
def trace(shared_data: Path) -> list[Recorded]:
    """What the real client sent, without what curl sent for the test."""
    text = (shared_data / "itksnap" / "itksnap-wt_http_trace.txt").read_text(errors="replace")
    blocks = re.findall(r"^  REQUEST\n(.*?)^  RESPONSE\n", text, re.DOTALL | re.MULTILINE)
    return [_recorded(block) for block in blocks if "User-Agent: curl" not in block]


def _recorded(block: str) -> Recorded:
    head, _, body = block.partition("    -- body")
    line, *headers = (row.strip() for row in head.splitlines())
    pairs = [(name, value) for name, _, value in (h.partition(": ") for h in headers)]
    return Recorded(line=line, headers=pairs, body=[row.strip() for row in body.splitlines()[1:]])


def like(trace: list[Recorded], line: str) -> Recorded:
    return next(recorded for recorded in trace if recorded.line == line)


def _upload(client: ItkSnap, folder: Path) -> None:
    path = folder / LAYER
    path.write_bytes(b"x" * 1536)
    client.upload(1, path)


CALLS: dict[str, Callable[[ItkSnap, Path], object]] = {
    "POST /api/tickets HTTP/1.1": lambda client, _: client.create_ticket("HelloDSS"),
    "POST /api/tickets/1/files/input HTTP/1.1": _upload,
    "POST /api/tickets/1/status HTTP/1.1": lambda client, _: client.submit(1),
    "GET /api/tickets/1/detail?since=0 HTTP/1.1": lambda client, _: client.detail(1),
    "GET /api/tickets/1/progress HTTP/1.1": lambda client, _: client.progress(1),
    "GET /api/tickets/1/files/results HTTP/1.1": lambda client, _: client.files(1),
    "GET /api/tickets/1/delete HTTP/1.1": lambda client, _: client.delete(1),
}


def shape(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """In wire order; what differs from one run to the next is cut out."""
    changing = {"Host": r":\d+", "Cookie": r"=[0-9a-f]+", "Content-Type": r"[0-9a-f]{16}$"}
    return [(n, re.sub(changing[n], "", v) if n in changing else v) for n, v in headers]


@pytest.mark.shared_data
@pytest.mark.parametrize("line", CALLS)
def test_a_request_has_the_headers_of_the_real_client_in_their_order(
    client: ItkSnap, recorder: Recorder, trace: list[Recorded], line: str, tmp_path: Path
) -> None:
    CALLS[line](client, tmp_path)

    (sent,) = recorder.requests
    assert sent.line == line
    assert shape(sent.headers) == shape(like(trace, line).headers)


@pytest.mark.shared_data
def test_a_login_has_the_headers_and_the_body_of_the_real_client(
    recorder: Recorder, trace: list[Recorded]
) -> None:
    with ItkSnap(recorder.address) as client:
        client.login_as_tool(TOKEN)

    real = next(r for r in trace if r.line.startswith("POST /api/login") and TOKEN in r.body[0])
    (sent,) = recorder.requests
    assert (sent.line, shape(sent.headers)) == (real.line, shape(real.headers))
    assert real.body == [f"| {sent.body.decode()}"]


@pytest.mark.shared_data
def test_the_parts_of_an_upload_are_those_of_the_real_client(
    client: ItkSnap, recorder: Recorder, trace: list[Recorded], tmp_path: Path
) -> None:
    _upload(client, tmp_path)

    (sent,) = recorder.requests
    real = like(trace, "POST /api/tickets/1/files/input HTTP/1.1").body
    boundary = sent.header("Content-Type").partition("boundary=")[2]
    ours = sent.body.decode().replace(f"--{boundary}--", "").replace(f"--{boundary}", "[part]")
    heads = [row for row in real if row.startswith(("Content-", "[part]"))]
    assert [r for r in ours.split("\r\n") if r.startswith(("Content-", "[part]"))] == heads
    assert len(sent.body) == int(sent.header("Content-Length")) == 2024


def test_a_hash_is_sent_as_such_and_anything_else_as_a_name(
    client: ItkSnap, recorder: Recorder
) -> None:
    for service in (HASH, HASH.upper(), "lungs & more, 100 % é+"):
        client.create_ticket(service)

    assert [request.body.decode() for request in recorder.requests] == [
        f"githash={HASH}",
        f"name={HASH.upper()}",
        "name=lungs & more, 100 % é+",
    ]


def test_the_window_signs_in_and_lists_by_json(recorder: Recorder) -> None:
    with ItkSnap(recorder.address) as client:
        client.login(TOKEN)
        client.services()
        client.tickets()

    assert [request.line for request in recorder.requests] == [
        "POST /api/login?format=json HTTP/1.1",
        "GET /api/services?format=json HTTP/1.1",
        "GET /api/tickets?format=json HTTP/1.1",
    ]


def test_only_a_login_writes_the_cookie_jar(recorder: Recorder, tmp_path: Path) -> None:
    jar = tmp_path / "cookie.jar"
    with ItkSnap(recorder.address, jar) as client:
        client.login(TOKEN)
        written = jar.read_text(encoding="utf-8")
        client.tickets()  # the answer brings another cookie
        client.tickets()

    assert recorder.requests[-1].header("Cookie") == COOKIE
    assert jar.read_text(encoding="utf-8") == written


def test_a_login_sends_no_cookie(client: ItkSnap, recorder: Recorder) -> None:
    client.login(TOKEN)

    assert "Cookie" not in dict(recorder.requests[-1].headers)


@pytest.mark.parametrize(
    ("ending", "path"), [("/", "//api/services"), ("/dss", "/dss/api/services")]
)
def test_the_address_is_taken_as_it_was_typed(recorder: Recorder, ending: str, path: str) -> None:
    with ItkSnap(recorder.address + ending) as client:
        client.services()

    assert recorder.requests[0].line == f"GET {path}?format=json HTTP/1.1"


@pytest.mark.parametrize("status", ["201 Created", "204 No Content", "302 Found", "500 Oops"])
def test_only_200_is_success(client: ItkSnap, recorder: Recorder, status: str) -> None:
    recorder.answers["POST /api/tickets"] = refusal(status, "Location: /api/tickets/1/progress")

    with pytest.raises(Refused, match=f"Response {status[:3]}, Text: "):
        client.create_ticket("lungs")
    assert len(recorder.requests) == 1


def test_a_number_with_words_behind_it_is_read_as_c_reads_it(
    client: ItkSnap, recorder: Recorder
) -> None:
    numbers = {}
    for body in (b"12", b" 7 tickets", b"none"):
        recorder.answers["POST /api/tickets"] = ok(body)
        numbers[body] = client.create_ticket("lungs")

    assert numbers == {b"12": 12, b" 7 tickets": 7, b"none": 0}


def test_waiting_asks_for_what_came_after_the_last_line(
    client: ItkSnap, recorder: Recorder
) -> None:
    line = b'{"id": 7, "atime": "2026-01-01 10:00:00.5", "category": "info", "message": "m"}'
    recorder.answers["GET /api/tickets/1/detail"] = ok(
        b'{"result": {"status": "claimed", "progress": 0.5, "log": [' + line + b"]}}"
    )
    recorder.answers["GET /api/tickets/1/detail?since=7"] = ok(
        b'{"result": {"status": "success", "progress": 1, "log": []}}'
    )

    states = [detail.status for detail in client.wait(1, every_s=0)]

    assert states == ["claimed", "success"]


def test_waiting_gives_up_after_five_bad_answers(client: ItkSnap, recorder: Recorder) -> None:
    recorder.answers["GET /api/tickets/1/detail"] = refusal("500 Oops")
    pauses: list[float] = []

    with pytest.raises(Refused):
        next(client.wait(1, pause=pauses.append))

    assert (len(recorder.requests), pauses) == (5, [10.0] * 4)


def test_rows_that_end_in_a_bare_line_feed_lose_files(client: ItkSnap, recorder: Recorder) -> None:
    recorder.answers["GET /api/tickets/1/files/results"] = ok(b"0,a.nii.gz\n1,b.itksnap\n")

    assert client.files(1) == [(0, "a.nii.gz1")]


@pytest.mark.parametrize("name", ["../a", "a/b", "..", "c:x", ""])
def test_a_result_cannot_leave_the_folder(
    client: ItkSnap, recorder: Recorder, tmp_path: Path, name: str
) -> None:
    recorder.answers["GET /api/tickets/1/files/results"] = ok(f"0,{name}\r\n".encode())

    with pytest.raises(NotUnderstood, match="not allowed"):
        client.download_results(1, tmp_path)


def test_a_download_that_breaks_off_leaves_no_file(
    client: ItkSnap, recorder: Recorder, tmp_path: Path
) -> None:
    recorder.answers["GET /api/tickets/1/files/results/"] = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
    )

    with pytest.raises(Unreachable, match="broke"):
        client.download_results(1, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_site_that_is_no_dss_is_told_from_one(client: ItkSnap, recorder: Recorder) -> None:
    recorder.answers["GET /api/services"] = ok(b"<html>Welcome</html>")

    with pytest.raises(NotUnderstood, match="check the address"):
        client.services()


@pytest.mark.parametrize("server", ["127.0.0.1:8080", "ftp://127.0.0.1", "http://"])
def test_what_is_no_address_is_told_in_a_sentence(server: str) -> None:
    with pytest.raises(ClientError, match="address"), ItkSnap(server) as client:
        client.services()


def test_a_refused_connection_is_told_in_a_sentence() -> None:
    with ItkSnap("http://127.0.0.1:9") as client, pytest.raises(Unreachable, match="No server"):
        client.services()
