"""Results, lists and failures by the library's two clients."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dss_client import (
    Client,
    ClientError,
    NotUnderstood,
    Refused,
    SignInRefused,
    Summary,
    Unreachable,
)
from support import both_clients
from support.both_clients import lines
from support.recorder import Recorder, ok, refusal

recorder = both_clients.recorder
run = both_clients.run


def test_a_ticket_is_watched_to_its_end_and_its_results_are_fetched(
    run: Callable[..., object], recorder: Recorder, tmp_path: Path
) -> None:
    states: list[str] = []
    files: list[Path] = []

    def do(client: Client) -> None:
        states.extend(detail.status for detail in client.watch(7))
        files.extend(client.download(7, tmp_path / "out"))

    run(do)

    assert states == ["success"]
    assert [path.read_bytes() for path in files] == [b"content", b"content"]
    assert [path.name for path in files] == ["a.nii.gz", "b.itksnap"]


def test_a_result_that_has_come_damaged_is_an_error_and_not_kept(
    run: Callable[..., object], recorder: Recorder, tmp_path: Path
) -> None:
    recorder.answers["GET /api/tickets/7/files/results/0"] = ok(b"c0ntent")

    with pytest.raises(NotUnderstood, match=r"a\.nii\.gz has come damaged"):
        run(lambda client: client.download(7, tmp_path))

    assert not (tmp_path / "a.nii.gz").exists()


def test_a_file_of_another_ticket_is_not_replaced(
    run: Callable[..., object], recorder: Recorder, tmp_path: Path
) -> None:
    (tmp_path / "ticket_00000008_results.itksnap").write_bytes(b"")
    (tmp_path / "a.nii.gz").write_bytes(b"of ticket 8")

    with pytest.raises(ClientError, match=r"a\.nii\.gz in the folder .* of ticket 8 and differs"):
        run(lambda client: client.download(7, tmp_path))

    assert (tmp_path / "a.nii.gz").read_bytes() == b"of ticket 8"
    assert not (tmp_path / "b.itksnap").exists()

    (tmp_path / "a.nii.gz").write_bytes(b"content")
    run(lambda client: client.download(7, tmp_path))
    assert (tmp_path / "b.itksnap").exists()


def test_all_results_come_as_one_archive_that_is_verified(
    run: Callable[..., object], recorder: Recorder, tmp_path: Path
) -> None:
    run(lambda client: client.download_archive(7, tmp_path / "all.zip"))

    assert zipfile.ZipFile(tmp_path / "all.zip").read("a.nii.gz") == b"content"

    recorder.answers["GET /api/tickets/7/archive"] = ok(b"PK")
    with pytest.raises(NotUnderstood, match="has come damaged"):
        run(lambda client: client.download_archive(7, tmp_path / "all.zip"))
    assert not (tmp_path / "all.zip").exists()


def test_a_summary_has_what_an_older_server_does_not_tell(
    run: Callable[..., object], recorder: Recorder
) -> None:
    expected = [Summary(id=7, service="lungs", status="ready")]

    assert run(lambda client: client.summaries()) == expected
    recorder.answers["GET /api/tickets/summary"] = refusal("404 Not Found")
    assert run(lambda client: client.summaries()) == expected


def test_tickets_are_listed_retried_and_deleted(
    run: Callable[..., object], recorder: Recorder
) -> None:
    rows = run(lambda client: (client.tickets(), client.retry(7), client.delete(7))[0])

    assert [row.id for row in rows] == [7]  # type: ignore[attr-defined]  # rows, as the call gives them
    assert lines(recorder)[1:] == ["GET /api/tickets/7/retry", "GET /api/tickets/7/delete"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal("401 Unauthorized"), SignInRefused),
        (refusal("500 Broken"), Refused),
        (ok(b"<html>"), ClientError),
        (b"", Unreachable),
    ],
)
def test_each_failure_is_an_error_of_its_kind(
    run: Callable[..., object], recorder: Recorder, answer: bytes, kind: type[ClientError]
) -> None:
    recorder.answers["GET /api/login"] = answer

    with pytest.raises(kind):
        run(lambda client: client.account())
