"""What resumable uploads and downloads make of a server's answers: refusals, lost answers, old servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dss_client import flows, protocol, resumable
from dss_client.cookie_jar import CookieJar
from dss_client.errors import Refused, Unreachable
from dss_client.itksnap import ItkSnap
from dss_client.rest import RestClient
from support.cut_wires import no_pause
from support.recorder import Recorder, ok, recording, refusal

LARGE = resumable.SMALL_BYTES + 1
UPLOADS = "/api/tickets/1/uploads"
CREATED = (
    b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nLocation: /dss/api/tickets/1/uploads/ab\r\n\r\n"
)
OFFER = b"HTTP/1.1 204 No Content\r\nTus-Version: 1.0.0\r\n\r\n"


def at(offset: int, status: str = "204 No Content") -> bytes:
    return f"HTTP/1.1 {status}\r\nUpload-Offset: {offset}\r\n\r\n".encode()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    answers = {
        f"OPTIONS {UPLOADS}": OFFER,
        f"POST {UPLOADS}": CREATED,
        f"HEAD {UPLOADS}/ab": at(0, "200 OK"),
        f"PATCH {UPLOADS}/ab": at(LARGE),
    }
    with recording(answers) as recorder:
        yield recorder


@pytest.fixture
def client(recorder: Recorder) -> Iterator[RestClient]:
    client = RestClient(recorder.address, CookieJar(None))
    yield client
    client.close()


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "ä.raw"
    path.write_bytes(bytes(LARGE))
    return path


def test_a_server_without_resumable_uploads_gets_the_old_form(
    recorder: Recorder, large: Path
) -> None:
    recorder.answers[f"OPTIONS {UPLOADS}"] = refusal("405 Method Not Allowed")
    recorder.answers["POST /api/tickets/1/files/input"] = ok(b"success")

    _send(recorder, large)

    assert [request.line.split()[0] for request in recorder.requests] == ["OPTIONS", "POST"]
    assert b'name="myfile"' in recorder.requests[1].body


@pytest.mark.parametrize("status", ["404 Not Found", "405 Method Not Allowed"])
def test_a_server_of_before_beside_one_that_offers_them_gets_the_old_form(
    recorder: Recorder, large: Path, status: str
) -> None:
    """As during an upgrade, when older and newer portals answer in turn."""
    recorder.answers[f"POST {UPLOADS}"] = refusal(status)
    recorder.answers["POST /api/tickets/1/files/input"] = ok(b"success")

    _send(recorder, large)

    assert [r.line.split()[0] for r in recorder.requests] == ["OPTIONS", "POST", "POST"]
    assert b'name="myfile"' in recorder.requests[2].body


def _send(recorder: Recorder, file: Path) -> None:
    """Send the file as ``dss send`` does."""
    client = ItkSnap(recorder.address, None)
    client.run(protocol.upload(1, file, resumes=True))


def test_an_upload_announces_name_size_and_sum(recorder: Recorder, large: Path) -> None:
    _send(recorder, large)

    begun, added = recorder.requests[1:]
    assert begun.header("Upload-Length") == str(LARGE)
    name, digest = begun.header("Upload-Metadata").split(",")
    assert name == "filename w6QucmF3"
    assert digest.startswith("sha256 ")
    assert (added.header("Upload-Offset"), len(added.body)) == ("0", LARGE)


@pytest.mark.parametrize("again", ["409 Conflict", "423 Locked", "503 Busy"])
def test_what_passes_is_waited_for_and_the_server_asked_where_it_is(
    recorder: Recorder, client: RestClient, large: Path, again: str
) -> None:
    recorder.answers[f"PATCH {UPLOADS}/ab"] = refusal(again)
    recorder.answers[f"HEAD {UPLOADS}/ab"] = at(100, "200 OK")

    def pause(_: float) -> None:
        recorder.answers[f"PATCH {UPLOADS}/ab"] = at(LARGE)

    assert resumable.upload(client, 1, large, pause=pause)

    methods = [request.line.split()[0] for request in recorder.requests]
    assert methods == ["OPTIONS", "POST", "PATCH", "HEAD", "PATCH"]
    assert recorder.requests[-1].header("Upload-Offset") == "100"


def test_an_upload_that_the_server_has_forgotten_begins_anew(
    recorder: Recorder, client: RestClient, large: Path
) -> None:
    recorder.answers[f"PATCH {UPLOADS}/ab"] = refusal("404 Not Found")
    recorder.answers[f"PATCH {UPLOADS}/cd"] = at(LARGE)

    def moved(*_: int) -> None:
        recorder.answers[f"POST {UPLOADS}"] = CREATED.replace(b"/ab", b"/cd")

    assert resumable.upload(client, 1, large, moved, no_pause)

    assert recorder.requests[-1].line == f"PATCH {UPLOADS}/cd HTTP/1.1"


def test_an_upload_that_the_server_always_forgets_ends(
    recorder: Recorder, client: RestClient, large: Path
) -> None:
    pauses: list[float] = []
    recorder.answers[f"PATCH {UPLOADS}/ab"] = refusal("404 Not Found")

    with pytest.raises(Unreachable, match="forgets the upload again and again"):
        resumable.upload(client, 1, large, pause=pauses.append)

    assert len(pauses) == resumable.MAX_RESTARTS


def test_a_server_that_is_busy_is_asked_again_for_resumable_uploads(
    recorder: Recorder, client: RestClient, large: Path
) -> None:
    recorder.answers[f"OPTIONS {UPLOADS}"] = refusal("502 Bad Gateway")

    def pause(_: float) -> None:
        recorder.answers[f"OPTIONS {UPLOADS}"] = OFFER

    assert resumable.upload(client, 1, large, pause=pause)


@pytest.mark.parametrize("status", ["413 Too Large", "460 Checksum", "507 Full"])
def test_what_does_not_pass_is_told_at_once(
    recorder: Recorder, client: RestClient, large: Path, status: str
) -> None:
    recorder.answers[f"PATCH {UPLOADS}/ab"] = refusal(status)

    with pytest.raises(Refused):
        resumable.upload(client, 1, large, pause=no_pause)

    assert recorder.requests[-1].line.startswith("PATCH")


def test_retries_end_when_no_byte_arrives(
    recorder: Recorder, client: RestClient, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumable, "RETRY_S", 0.0)
    recorder.answers[f"PATCH {UPLOADS}/ab"] = b"nonsense\r\n\r\n"

    with pytest.raises(Unreachable):
        resumable.upload(client, 1, large, pause=no_pause)


def test_a_file_that_has_changed_meanwhile_is_downloaded_anew(
    recorder: Recorder, client: RestClient, tmp_path: Path
) -> None:
    recorder.answers["GET /f"] = b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 9\r\n\r\nhalf'

    def pause(_: float) -> None:
        recorder.answers["GET /f"] = ok(b"all of it", 'ETag: "2"')

    client.download("f", tmp_path / "f", pause=pause)

    again = recorder.requests[1]
    assert (again.header("Range"), again.header("If-Range")) == ("bytes=4-", '"1"')
    assert (tmp_path / "f").read_bytes() == b"all of it"


@pytest.mark.parametrize("lost", [b"nonsense\r\n\r\n", refusal("504 Gateway Timeout")])
def test_a_lost_answer_to_the_submission_is_no_failure(recorder: Recorder, lost: bytes) -> None:
    """The second attempt is refused, because the ticket waits already."""
    recorder.answers["POST /api/tickets/1/status"] = lost
    recorder.answers["GET /api/tickets/1/detail"] = ok(
        b'{"result": {"status": "ready", "progress": 0.0, "log": []}}'
    )
    rest = RestClient(recorder.address, CookieJar(None))

    def pause(_: float) -> None:
        recorder.answers["POST /api/tickets/1/status"] = refusal("400 Bad Request")

    rest.run(flows._surely_submitted(1), pause)

    assert recorder.requests[-1].line.startswith("GET /api/tickets/1/detail")
