"""A download that a process has not ended goes on in the next one, and never with bytes of another file."""

import hashlib
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from dss_client import partial_downloads
from dss_client.cookie_jar import CookieJar
from dss_client.errors import Refused, Unreachable
from dss_client.partial_downloads import partial_download
from dss_client.rest import RestClient
from support.recorder import Recorder, Request, ok, recording, refusal
from support.waiting import wait_until

CONTENT = os.urandom(200_000)
HALF = 150_000
AT = HALF - partial_downloads.REWIND_BYTES
RESULT = "/api/tickets/7/files/results/0"
ARCHIVE = "/api/tickets/7/archive"


def cut(content: bytes, tag: str = '"1"') -> bytes:
    """An answer that ends before its end."""
    head = f"HTTP/1.1 200 OK\r\nETag: {tag}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content[:HALF]


def rest(content: bytes) -> bytes:
    """The answer to a request for what is missing."""
    last = len(content) - 1
    head = (
        f'HTTP/1.1 206 Partial Content\r\nETag: "1"\r\nContent-Length: {len(content) - AT}\r\n'
        f"Content-Range: bytes {AT}-{last}/{len(content)}\r\n\r\n"
    )
    return head.encode() + content[AT:]


def sums(content: bytes) -> bytes:
    digest = hashlib.sha256(content).hexdigest()
    return ok(f'{{"result": [{{"name": "b.nii.gz", "sha256": "{digest}"}}]}}'.encode())


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    answers = {
        "GET /api/tickets/7/checksums": sums(CONTENT),
        "GET /api/tickets/7/files/results ": ok(b"0,b.nii.gz\r\n"),
    }
    with recording(answers) as recorder:
        yield recorder


@pytest.fixture
def client(recorder: Recorder) -> Iterator[RestClient]:
    client = RestClient(recorder.address, CookieJar(None))
    yield client
    client.close()


def requests_of(recorder: Recorder, path: str) -> list[Request]:
    return [r for r in recorder.requests if r.line.startswith(f"GET {path} ")]


def asked_range(request: Request) -> str:
    """The header ``Range``; "" if the whole file was requested."""
    return dict(request.headers).get("Range", "")


def program(recorder: Recorder, folder: Path, target: str) -> "subprocess.Popen[str]":
    own = {"DSS_SERVER": recorder.address, "DSS_TOKEN": "dss_x", "HOME": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-m", "dss_client", "download", "7", target],
        cwd=folder,
        env={**os.environ, **own},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def killed_halfway(
    recorder: Recorder, folder: Path, target: str, path: str, content: bytes
) -> None:
    """Let ``dss download`` receive the first half, and kill it at its next request."""
    recorder.answers[f"GET {path} "] = cut(content)
    answer = recorder.answer

    def once(line: str) -> bytes:
        if line.startswith(f"GET {path} "):
            recorder.silent.add(f"GET {path} ")
        return answer(line)

    recorder.answer = once  # type: ignore[method-assign]  # the recorder of this test alone
    with program(recorder, folder, target) as begun:
        wait_until(lambda: len(requests_of(recorder, path)) == 2, 60)
        begun.kill()
    recorder.answer = answer  # type: ignore[method-assign]  # as above
    recorder.silent.clear()


def ended(recorder: Recorder, folder: Path, target: str) -> tuple[int, str]:
    with program(recorder, folder, target) as begun:
        _, told = begun.communicate(timeout=60)
    return begun.returncode, told


def zipped(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("ticket_00000007/b.nii.gz", content)
    return packed.getvalue()


@pytest.mark.parametrize("target", ["out", "all.zip"])
def test_a_killed_download_goes_on_in_the_next_run(
    recorder: Recorder, tmp_path: Path, target: str
) -> None:
    whole, path = (zipped(CONTENT), ARCHIVE) if target == "all.zip" else (CONTENT, RESULT)
    killed_halfway(recorder, tmp_path, target, path, whole)
    recorder.answers[f"GET {path} "] = rest(whole)

    code, told = ended(recorder, tmp_path, target)

    # one workspace is needed for the volumes; these results have none
    assert (code, told) in {(0, ""), (2, "The results hold 0 workspaces; one is needed.\n")}
    again = requests_of(recorder, path)[-1]
    assert (again.header("Range"), again.header("If-Range")) == (f"bytes={AT}-", '"1"')
    file = tmp_path / target if target == "all.zip" else tmp_path / "out/b.nii.gz"
    assert file.read_bytes() == whole
    assert [p.name for p in file.parent.iterdir() if ".part" in p.name] == []


def test_a_half_that_has_been_spoilt_is_noticed_and_not_kept(
    recorder: Recorder, tmp_path: Path
) -> None:
    killed_halfway(recorder, tmp_path, "out", RESULT, CONTENT)
    (part,) = (tmp_path / "out").glob(".*.part")
    part.write_bytes(bytes(HALF))
    recorder.answers[f"GET {RESULT} "] = rest(CONTENT)

    spoilt = ended(recorder, tmp_path, "out")
    recorder.answers[f"GET {RESULT} "] = ok(CONTENT)
    ended(recorder, tmp_path, "out")

    assert spoilt == (2, "b.nii.gz has come damaged; download the ticket again.\n")
    assert asked_range(requests_of(recorder, RESULT)[-1]) == ""
    assert (tmp_path / "out/b.nii.gz").read_bytes() == CONTENT


def left_half(recorder: Recorder, client: RestClient, target: Path) -> None:
    """Leave the first half of a file, as a process that ends does."""
    recorder.answers["GET /f "] = cut(CONTENT)

    def end(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.download("f", target, pause=end)


def test_a_file_that_has_changed_since_is_not_appended_to(
    recorder: Recorder, client: RestClient, tmp_path: Path
) -> None:
    left_half(recorder, client, tmp_path / "f")
    recorder.answers["GET /f "] = ok(b"another one", 'ETag: "2"')

    client.download("f", tmp_path / "f")

    assert recorder.requests[-1].header("If-Range") == '"1"'
    assert (tmp_path / "f").read_bytes() == b"another one"


def test_a_range_that_the_server_lacks_is_answered_by_the_whole_file(
    recorder: Recorder, client: RestClient, tmp_path: Path
) -> None:
    left_half(recorder, client, tmp_path / "f")
    recorder.answers["GET /f "] = refusal("416 Range Not Satisfiable")
    answer = recorder.answer

    def whole_next(line: str) -> bytes:
        found = answer(line)
        recorder.answers["GET /f "] = ok(b"short")
        return found

    recorder.answer = whole_next  # type: ignore[method-assign]  # the recorder of this test alone

    client.download("f", tmp_path / "f")

    assert (tmp_path / "f").read_bytes() == b"short"


def test_a_file_of_another_address_is_not_gone_on_with(
    recorder: Recorder, client: RestClient, tmp_path: Path
) -> None:
    left_half(recorder, client, tmp_path / "f")
    recorder.answers["GET /g "] = ok(b"g", 'ETag: "1"')

    client.download("g", tmp_path / "f")

    assert asked_range(recorder.requests[-1]) == ""
    assert (tmp_path / "f").read_bytes() == b"g"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_what_the_server_has_no_more_is_not_kept(
    recorder: Recorder, client: RestClient, tmp_path: Path
) -> None:
    left_half(recorder, client, tmp_path / "f")
    recorder.answers["GET /f "] = refusal("404 Not Found")

    with pytest.raises(Refused):
        client.download("f", tmp_path / "f")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tag", ['W/"1"', ""])
def test_bytes_without_a_version_are_not_kept(
    recorder: Recorder, client: RestClient, tmp_path: Path, tag: str
) -> None:
    recorder.answers["GET /f "] = cut(CONTENT, tag)

    with pytest.raises(Unreachable):
        client.download("f", tmp_path / "f")

    assert list(tmp_path.iterdir()) == []


def test_two_downloads_of_one_file_write_to_two_drafts(tmp_path: Path) -> None:
    with (
        partial_download(tmp_path / "f", "a") as first,
        partial_download(tmp_path / "f", "a") as second,
    ):
        for draft, content in ((first, b"one"), (second, b"two")):
            draft.begin('"1"')
            draft.path.write_bytes(content)

        assert first.path != second.path

    assert (tmp_path / "f").read_bytes() == b"one", "the outer one ends last"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_link_in_a_shared_folder_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    with partial_download(tmp_path / "f", "a") as draft:
        name = draft.path
        draft.begin("")
    name.symlink_to(victim)

    with partial_download(tmp_path / "f", "a") as draft:
        draft.begin('"1"')
        draft.path.write_bytes(b"content")

    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "f").is_symlink()


@pytest.mark.parametrize("record", [b"", b"no JSON", b"[]", b'{"address": "a", "version": 3}'])
def test_a_record_that_cannot_be_read_begins_anew(tmp_path: Path, record: bytes) -> None:
    with suppress(KeyboardInterrupt), partial_download(tmp_path / "f", "a") as draft:
        draft.begin('"1"')
        draft.path.write_bytes(b"half")
        raise KeyboardInterrupt
    (kept,) = tmp_path.glob("*.part-of")
    kept.write_bytes(record)

    with partial_download(tmp_path / "f", "a") as draft:
        assert draft.version == ""
        draft.begin("")
