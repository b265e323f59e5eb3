"""``dss download --attachments``: what is attached to a ticket's log, under names that every system can store."""

import json
from pathlib import Path

import pytest

from dss_client.attachments import paths_and_names
from dss_client.records import Attachment, LogLine
from support import dss_answers
from support.dss_answers import dss
from support.recorder import Recorder, ok

recorder = dss_answers.recorder
environment = dss_answers.environment

ELSEWHERE = "https://public.example.org/dss"


def line(*attachments: tuple[str, str, str]) -> LogLine:
    given = (
        Attachment(url=f"{ELSEWHERE}/{path}", description=name, mime_type=kind)
        for path, name, kind in attachments
    )
    return LogLine(id=1, atime=0, category="info", message="", attachments=tuple(given))


@pytest.mark.parametrize(
    ("description", "mime_type", "name"),
    [
        ("volumes.csv", "text/csv", "volumes.csv"),
        ("Three planes", "image/png", "Three planes.png"),
        ("../../etc/passwd", "", "_.._etc_passwd"),
        ("a\x1b[2Jb\n.txt", "text/plain", "a_[2Jb_.txt"),
        ("con", "", "attachment_con"),
        ("", "application/pdf", "attachment_.pdf"),
        ("x" * 5000, "", "x" * 100),
    ],
)
def test_a_description_becomes_a_file_name(description: str, mime_type: str, name: str) -> None:
    found = paths_and_names([line(("blobs/0123456789abcdef", description, mime_type))])

    assert found == [("blobs/0123456789abcdef", name)]


def test_equal_descriptions_become_different_files() -> None:
    lines = [line((f"blobs/{n}{n}{n}{n}{n}{n}{n}{n}", name, "")) for n, name in enumerate("aAa")]

    assert [name for _, name in paths_and_names(lines)] == ["a", "A (2)", "a (3)"]


def test_an_address_that_is_no_attachment_is_left_out() -> None:
    assert paths_and_names([line(("api/tickets/7/delete", "a", ""), ("blobs/../x", "b", ""))]) == []


@pytest.mark.parametrize(
    ("neighbour", "folder"),
    [("other.itksnap", "attachments"), ("ticket_00000008_results.itksnap", "attachments_00000007")],
    ids=["alone", "shared"],
)
def test_attachments_are_fetched_from_the_server_that_was_asked(
    environment: dict[str, str], recorder: Recorder, tmp_path: Path, neighbour: str, folder: str
) -> None:
    """Into a folder that no other ticket's attachments can be in."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / neighbour).touch()
    attached = {"url": f"{ELSEWHERE}/blobs/{'a' * 32}", "description": "t.csv", "mime_type": ""}
    entry = {"id": 1, "atime": 0, "category": "info", "message": "t.csv", "attachments": [attached]}
    detail = {"result": {"status": "success", "progress": 1.0, "log": [entry]}}
    recorder.answers["GET /api/tickets/7/detail"] = ok(json.dumps(detail).encode())
    recorder.answers[f"GET /blobs/{'a' * 32}"] = ok(b"name,ml\n")
    results = "GET /api/tickets/7/files/results"
    del recorder.answers[results]
    recorder.answers[f"{results} "] = ok(b"0,r.itksnap\r\n")
    recorder.answers[f"{results}/0 "] = ok(b"<registry></registry>")
    recorder.answers["GET /api/tickets/7/checksums"] = ok(b'{"result": []}')

    done = dss(environment, "download", "7", str(tmp_path / "out"), "--attachments")

    assert done.exit_code == 0, done.output
    assert (tmp_path / f"out/{folder}/t.csv").read_bytes() == b"name,ml\n"
    assert f"Attachments: t.csv in {tmp_path / 'out' / folder}" in done.output


def test_attachments_do_not_go_into_an_archive(environment: dict[str, str]) -> None:
    done = dss(environment, "download", "7", "out.zip", "--attachments")

    assert done.exit_code == 2
    assert "--attachments needs a folder" in done.output
