"""A batch whose program, portal or session ends at any moment: no image is sent twice, and no ticket is left over."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dss_client import batch as batch_module
from dss_client import resumable
from dss_client.batch import Batch, PortalAway
from dss_client.batch_items import Item, for_services, items_of
from dss_client.batch_screen import BatchScreen
from dss_client.errors import ClientError, Refused
from dss_client.flows import SelectedService
from dss_client.itksnap import ItkSnap
from dss_client.records import ServiceDetail, Tag
from dss_client.send_options import SendOptions
from dss_submission.region import Region
from support.builders import image, write_image
from support.dicom_series import stack, write
from support.recorder import Recorder, ok, recording, refusal
from support.waiting import wait_until

HASH = "a" * 40
DETAIL = "GET /api/tickets/7/detail"
CHOSEN = SelectedService(
    githash=HASH, detail=ServiceDetail(tags=(Tag(name="CT", type="MainImage", required=True),))
)


def state(status: str) -> bytes:
    return ok(f'{{"result": {{"status": "{status}", "progress": 0.0}}}}'.encode())


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    row = f'{{"name": "lungs", "githash": "{HASH}", "version": "1.0.0", "shortdesc": ""}}'
    answers = {
        "POST /api/tickets ": ok(b"7"),
        "POST /api/tickets/7/files/input": ok(b"success"),
        "POST /api/tickets/7/status": ok(b"success"),
        "POST /api/tickets/7/title": ok(b"success"),
        "GET /api/tickets/7/delete": ok(b"success"),
        DETAIL: state("ready"),
        "GET /api/login": ok(b'{"result": {"email": "a@b"}}'),
        "GET /api/services?": ok(f'{{"result": [{row}]}}'.encode()),
        "GET /api/services/": ok(b'{"tags": []}'),
        "GET /api/services/estimates": refusal("404 Not Found"),
    }
    with recording(answers) as recorder:
        yield recorder


@pytest.fixture
def scans(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"scan{n}.nii.gz" for n in range(4)]
    for path in paths:
        write_image(path, image())
    return paths


def items_for(scans: list[Path]) -> list[Item]:
    return for_services(items_of(scans, each=True), ["lungs"])


def run(
    recorder: Recorder,
    items: list[Item],
    folder: Path,
    *,
    wait: bool = False,
    time_point: int | None = None,
    pause: Callable[[float], None] | None = None,
) -> None:
    def fail(_: float) -> None:
        recorder.answers[DETAIL] = state("failed")

    with ItkSnap(recorder.address) as client, BatchScreen(len(items)) as screen:
        what = SendOptions(wait=wait, region=Region(time_point=time_point))
        Batch(client, {"lungs": CHOSEN}, folder, screen, options=what, pause=pause or fail).run(
            items
        )


def table(folder: Path) -> dict[str, tuple[str, str]]:
    with (folder / "results.csv").open(newline="", encoding="utf-8") as file:
        return {row["name"]: (row["ticket"], row["status"]) for row in csv.DictReader(file)}


def killed(folder: Path, scans: list[Path], status: str) -> list[Item]:
    """Fresh items, beside the table of a run that was killed when its first item had the ticket 7."""
    items = items_for(scans[:1])
    folder.mkdir()
    with (folder / "results.csv").open("w", newline="", encoding="utf-8") as file:
        columns = ("name", "source", "series", "service", "ticket", "status", "reason")
        row = (items[0].name, str(scans[0].resolve()), "", "lungs", "7", status, "")
        csv.writer(file).writerows([columns, row])
    return items


def lines(recorder: Recorder) -> list[str]:
    return [request.line.removesuffix(" HTTP/1.1") for request in recorder.requests]


@pytest.mark.parametrize("status", ["waiting", "not sent"])
def test_a_ticket_that_was_submitted_before_the_kill_is_taken_up(
    recorder: Recorder, scans: list[Path], tmp_path: Path, status: str
) -> None:
    items = killed(tmp_path / "out", scans, status)

    run(recorder, items, tmp_path / "out")

    assert table(tmp_path / "out") == {"scan0": ("7", "submitted")}
    assert not [line for line in lines(recorder) if line.startswith("POST")]


@pytest.mark.parametrize("answer", [state("init"), state("deleted")])
def test_a_ticket_that_was_not_submitted_before_the_kill_is_removed(
    recorder: Recorder, scans: list[Path], tmp_path: Path, answer: bytes
) -> None:
    items = killed(tmp_path / "out", scans, "waiting")
    recorder.answers[DETAIL] = answer
    recorder.answers["POST /api/tickets "] = ok(b"8")
    recorder.answers["POST /api/tickets/8/"] = ok(b"success")

    run(recorder, items, tmp_path / "out")

    assert table(tmp_path / "out") == {"scan0": ("8", "submitted")}
    assert ("GET /api/tickets/7/delete" in lines(recorder)) == (answer == state("init"))


@pytest.mark.parametrize("what", ["title", "files/input"])
def test_the_table_has_the_number_before_anything_else_is_asked_of_the_ticket(
    recorder: Recorder, scans: list[Path], tmp_path: Path, what: str
) -> None:
    recorder.silent.add(f"POST /api/tickets/7/{what}")

    with program(recorder, scans, tmp_path) as sending:
        wait_until(lambda: any(f"7/{what}" in line for line in lines(recorder)), 60)
        sending.kill()
        sending.communicate(timeout=60)

    assert table(tmp_path / "out")["scan0"] == ("7", "waiting")


def program(recorder: Recorder, scans: list[Path], tmp_path: Path) -> "subprocess.Popen[str]":
    words = ["send", *map(str, scans[:2]), "--service", "lungs", "--output", str(tmp_path / "out")]
    own = {"DSS_SERVER": recorder.address, "DSS_TOKEN": "dss_x", "HOME": str(tmp_path)}
    return subprocess.Popen(
        [sys.executable, "-m", "dss_client", *words],
        env={**os.environ, **own},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def test_a_ticket_whose_results_did_not_arrive_is_not_sent_again(
    recorder: Recorder, scans: list[Path], tmp_path: Path
) -> None:
    items = killed(tmp_path / "out", scans, "not downloaded")

    run(recorder, items, tmp_path / "out")

    assert table(tmp_path / "out") == {"scan0": ("7", "submitted")}
    assert not lines(recorder)


def test_a_table_of_an_earlier_version_is_gone_on_with(
    recorder: Recorder, scans: list[Path], tmp_path: Path
) -> None:
    items, folder = items_for(scans[:1]), tmp_path / "out"
    folder.mkdir()
    row = f"name,source,series,ticket,status,reason\nscan0,{scans[0].resolve()},,7,submitted,\n"
    (folder / "results.csv").write_text(row, encoding="utf-8")

    run(recorder, items, folder)

    assert table(folder) == {"scan0": ("7", "submitted")}
    assert not lines(recorder)


def test_tickets_of_other_images_stay_in_the_table(
    recorder: Recorder, scans: list[Path], tmp_path: Path
) -> None:
    run(recorder, items_for(scans[:2]), tmp_path / "out")
    run(recorder, items_for(scans[2:3]), tmp_path / "out")

    assert {*table(tmp_path / "out")} == {"scan0", "scan1", "scan2"}


def test_an_image_that_has_changed_since_is_sent_again(
    recorder: Recorder, scans: list[Path], tmp_path: Path
) -> None:
    run(recorder, items_for(scans[:2]), tmp_path / "out")
    write_image(scans[0], image((12, 10, 9)))
    recorder.answers["POST /api/tickets "] = ok(b"8")
    recorder.answers["POST /api/tickets/8/"] = ok(b"success")

    run(recorder, items_for(scans[:2]), tmp_path / "out")

    assert table(tmp_path / "out") == {"scan0": ("8", "submitted"), "scan1": ("7", "submitted")}


def test_a_series_that_has_got_more_slices_is_sent_again(
    recorder: Recorder, tmp_path: Path
) -> None:
    """The first command came while the folder was being copied."""

    def copied(slices: int) -> list[Item]:
        write(tmp_path / "in", stack(6)[:slices])
        return for_services(items_of([tmp_path / "in"], each=True), ["lungs"])

    run(recorder, copied(4), tmp_path / "out")
    recorder.answers["POST /api/tickets "] = ok(b"8")
    recorder.answers["POST /api/tickets/8/"] = ok(b"success")

    run(recorder, copied(6), tmp_path / "out")

    assert [ticket for ticket, _ in table(tmp_path / "out").values()] == ["8"]


def test_results_with_other_options_are_not_taken_for_these(
    recorder: Recorder, scans: list[Path], tmp_path: Path
) -> None:
    run(recorder, items_for(scans[:1]), tmp_path / "out")

    with pytest.raises(ClientError, match=r"another batch \(options: none\); name a new folder"):
        run(recorder, items_for(scans[:1]), tmp_path / "out", time_point=2)


def test_tickets_of_another_server_are_not_taken_for_these(
    recorder: Recorder, scans: list[Path], tmp_path: Path
) -> None:
    """Their numbers are those of other images here."""
    run(recorder, items_for(scans[:1]), tmp_path / "out")
    rows = tmp_path / "out" / "results.csv"
    there = rows.read_text(encoding="utf-8").replace(recorder.address, "https://dss.example.org")
    rows.write_text(there, encoding="utf-8")

    with pytest.raises(ClientError, match=r"\(server: https://dss\.example\.org\)"):
        run(recorder, items_for(scans[:1]), tmp_path / "out")


def test_a_series_keeps_its_ticket_when_a_further_study_changes_its_number(
    recorder: Recorder, tmp_path: Path
) -> None:
    """Series of several studies have numbers by their order."""

    def add(patient: str) -> list[Item]:
        tags = {"SeriesInstanceUID": f"1.2.{patient}", "SeriesNumber": 3}
        write(tmp_path / "in" / patient, [replace(p, tags=tags) for p in stack(4)])
        return for_services(items_of([tmp_path / "in"], each=True), ["lungs"])

    add("5")
    run(recorder, add("6"), tmp_path / "out")
    recorder.answers["POST /api/tickets "] = ok(b"8")
    recorder.answers["POST /api/tickets/8/"] = ok(b"success")

    run(recorder, add("1"), tmp_path / "out")

    assert {name: ticket for name, (ticket, _) in table(tmp_path / "out").items()} == {
        "1_series_1": "8",
        "5_series_1": "7",
        "6_series_2": "7",
    }


def test_a_name_that_now_belongs_to_another_series_is_not_taken_for_done(
    recorder: Recorder, tmp_path: Path
) -> None:
    def add(uid: str) -> list[Item]:
        tags = {"SeriesInstanceUID": uid, "SeriesNumber": 3}
        write(tmp_path / "in", [replace(p, name=uid + p.name, tags=tags) for p in stack(4)])
        return for_services(items_of([tmp_path / "in"], each=True), ["lungs"])

    add("1.2.5")
    run(recorder, add("1.2.6"), tmp_path / "out")

    with pytest.raises(ClientError, match="is the table of another batch"):
        run(recorder, add("1.2.1"), tmp_path / "out")


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden", "500 Fault"])
def test_a_session_that_ends_ends_the_batch_and_no_ticket(
    recorder: Recorder, scans: list[Path], tmp_path: Path, status: str
) -> None:
    recorder.answers[DETAIL] = refusal(status)

    with pytest.raises(Refused):
        run(recorder, items_for(scans[:1]), tmp_path / "out", wait=True)

    assert table(tmp_path / "out") == {"scan0": ("7", "submitted")}


def test_a_session_that_ends_before_the_submission_leaves_the_others_waiting(
    recorder: Recorder, scans: list[Path], tmp_path: Path
) -> None:
    recorder.answers["POST /api/tickets "] = refusal("401 Unauthorized")

    with pytest.raises(Refused):
        run(recorder, items_for(scans), tmp_path / "out")

    assert {status for _, status in table(tmp_path / "out").values()} == {"waiting"}


def test_open_tickets_are_not_asked_for_after_each_submission(
    recorder: Recorder, scans: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_module, "POLL_S", 1e9)

    run(recorder, items_for(scans), tmp_path / "out", wait=True)

    assert len([line for line in lines(recorder) if line.startswith(DETAIL)]) == 2 * len(scans)


def test_an_image_is_not_prepared_again_and_again_while_others_fill_the_quota(
    recorder: Recorder, scans: list[Path], tmp_path: Path
) -> None:
    sentence = b"Maximum allowed number of open tickets is 3"
    head = f"HTTP/1.1 400 Bad Request\r\nContent-Length: {len(sentence)}\r\n\r\n".encode()
    recorder.answers["POST /api/tickets "] = head + sentence
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        recorder.answers["POST /api/tickets "] = ok(b"7")
        recorder.answers[DETAIL] = state("failed")

    run(recorder, items_for(scans[:1]), tmp_path / "out", wait=True, pause=pause)

    assert pauses[0] == batch_module.OTHERS_S


def test_the_end_of_the_machine_ends_a_batch_like_ctrl_c(
    recorder: Recorder, scans: list[Path], tmp_path: Path
) -> None:
    with program(recorder, scans, tmp_path) as sending:
        wait_until(lambda: any(line.startswith(DETAIL) for line in lines(recorder)), 60)
        sending.send_signal(signal.SIGTERM)
        _, told = sending.communicate(timeout=60)

    assert sending.returncode == 130
    last = told.splitlines()[-1]
    assert last == "What is submitted goes on; the same command again goes on, too."


def test_an_outage_ends_the_batch_once_and_not_one_image_after_the_other(
    scans: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_module, "RETRY_S", 0.3)
    monkeypatch.setattr(batch_module, "ALONE_S", 0.4)
    items = items_for(scans)
    what = SendOptions(wait=False)

    with (
        ItkSnap("http://127.0.0.1:9") as client,
        BatchScreen(len(items)) as screen,
        pytest.raises(PortalAway, match="the same command continues it"),
    ):
        Batch(client, {"lungs": CHOSEN}, tmp_path / "out", screen, options=what).run(items)

    assert {status for _, status in table(tmp_path / "out").values()} == {"waiting"}


def test_images_whose_upload_breaks_each_time_do_not_end_the_batch(
    recorder: Recorder, scans: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_module, "RETRY_S", 0.3)
    monkeypatch.setattr(batch_module, "ALONE_S", 0.4)
    monkeypatch.setattr(resumable, "RETRY_S", 0.0)
    recorder.answers["POST /api/tickets/7/files/input"] = b""

    run(recorder, items_for(scans[:2]), tmp_path / "out", pause=time.sleep)

    assert {status for _, status in table(tmp_path / "out").values()} == {"not sent"}
