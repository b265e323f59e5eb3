"""Many images by one command: the quota stays full, a restart of the portal costs nothing, bad images are told."""

import csv
import json
import os
import signal
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support.blocks import DSS, block_site, guest_token, rows, write_scan
from support.sites import Site
from support.waiting import wait_until

pytestmark = pytest.mark.stack

OPEN_TICKETS = 3
PATHS = ("segmentations", "workspace")
WAITS = "The site allows you no more open tickets; the other images wait until tickets of this batch end.\n"


@pytest.fixture(scope="module")
def site(
    rabbit: RabbitNode, postgres: PostgresCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with block_site(rabbit, postgres, tmp_path_factory.mktemp("site"), OPEN_TICKETS) as running:
        yield running


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Six sound images of 1 to 6 voxels in the block, one that is cut off, one that is empty."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(1, 7):
        write_scan(folder / f"scan{number}.nii.gz", number)
    sound = (folder / "scan1.nii.gz").read_bytes()
    (folder / "scan7.nii.gz").write_bytes(sound[: len(sound) // 2])
    write_scan(folder / "scan8.nii.gz", 0)
    return folder


def command(site: Site, scans: Path, output: Path) -> list[str]:
    words = ["send", str(scans), "--each", "--service", "block", "--server", site.url]
    return [*DSS, *words, "--output", str(output)]


def test_a_batch_fills_the_quota_and_tells_the_reason_of_each_failure(
    site: Site, scans: Path, tmp_path: Path
) -> None:
    environment = {**os.environ, "DSS_TOKEN": guest_token(site, "ann@example.com")}

    done = subprocess.run(
        command(site, scans, tmp_path / "out"),
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert done.returncode == 1, done.stderr
    assert "6 of 8 succeeded" in done.stdout
    assert done.stdout.count(WAITS) == 1
    assert "\nscan7: not sent. " in done.stdout
    assert "\nscan8: failed. The image is empty.\n" in done.stdout
    found = rows(tmp_path / "out" / "results.csv")
    assert [found[f"scan{n}"]["status"] for n in range(1, 9)] == [
        *["success"] * 6,
        "not sent",
        "failed",
    ]
    assert found["scan8"]["reason"] == "The image is empty."
    assert "ends too early" in found["scan7"]["reason"] or "cut off" in found["scan7"]["reason"]
    with (tmp_path / "out" / "volumes.csv").open(newline="") as file:
        volumes = {row["name"]: float(row["ml"]) for row in csv.DictReader(file)}
    assert volumes == {f"scan{n}": n / 1000 for n in range(1, 7)}
    assert list((tmp_path / "out" / "scan3").glob("*.itksnap"))


def test_a_batch_survives_a_restart_of_the_portal_and_its_own(
    site: Site, scans: Path, tmp_path: Path
) -> None:
    environment = {**os.environ, "DSS_TOKEN": guest_token(site, "bob@example.com")}
    words, output = command(site, scans, tmp_path / "out"), tmp_path / "out"
    with subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, encoding="utf-8"
    ) as first:
        wait_until(lambda: (output / "results.csv").is_file() and _ended(output) >= 1, 60)
        site.stack.kill("portal")
        site.stack.start_one("portal")
        wait_until(lambda: _ended(output) >= 3, 60, site.stack.logs)
        first.send_signal(signal.SIGINT)
        assert first.wait(30) == 130
    before = rows(output / "results.csv")

    again = subprocess.run(
        words, env=environment, capture_output=True, encoding="utf-8", check=False
    )

    earlier = sum(row["status"] == "success" for row in before.values())
    assert f"{earlier} of 8 succeeded in an earlier run and are not sent again." in again.stdout
    assert "6 of 8 succeeded; " in again.stdout
    after = rows(output / "results.csv")
    kept = [name for name, row in before.items() if row["status"] in {"success", "submitted"}]
    assert kept
    assert all(after[name]["ticket"] == before[name]["ticket"] for name in kept)
    succeeded = [row for row in after.values() if row["status"] == "success"]
    assert all((output / row[what]).is_file() for row in succeeded for what in PATHS)
    with (output / "volumes.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 6


def _ended(output: Path) -> int:
    return sum(row["status"] == "success" for row in rows(output / "results.csv").values())


def test_the_table_of_another_batch_is_not_overwritten(
    site: Site, scans: Path, tmp_path: Path
) -> None:
    environment = {**os.environ, "DSS_TOKEN": guest_token(site, "eve@example.com")}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.csv").write_text("patient,age\nx,7\n", encoding="utf-8")

    done = subprocess.run(
        command(site, scans, tmp_path / "out"),
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert done.returncode == 2
    assert "is no table of a batch; name another folder" in done.stderr
    assert (tmp_path / "out" / "results.csv").read_text(encoding="utf-8") == "patient,age\nx,7\n"


def dss(site: Site, who: str, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "DSS_TOKEN": who, "DSS_SERVER": site.url}
    return subprocess.run(
        [*DSS, *words], env=environment, capture_output=True, encoding="utf-8", check=False
    )


def test_one_image_goes_to_several_services_and_is_fetched_later(
    site: Site, scans: Path, tmp_path: Path
) -> None:
    who = guest_token(site, "joe@example.com")
    (row,) = json.loads(dss(site, who, "services", "--json").stdout)
    words = ["send", str(scans / "scan2.nii.gz"), "--service", "block", "--service", row["githash"]]
    words += ["--output", str(tmp_path / "out")]

    sent = dss(site, who, *words, "--no-wait")
    fetched = dss(site, who, *words)

    assert sent.returncode == 0, sent.stderr
    assert "2 are submitted" in sent.stdout
    assert "2 of 2 succeeded" in fetched.stdout
    found = rows(tmp_path / "out" / "results.csv")
    assert [r["service"] for r in found.values()] == ["block", row["githash"]]
    assert len({r["ticket"] for r in found.values()}) == 2
    assert len(dss(site, who, "tickets").stdout.splitlines()) == 2


def test_a_ticket_is_sent_followed_and_fetched_by_separate_commands(
    site: Site, scans: Path, tmp_path: Path
) -> None:
    who = guest_token(site, "sue@example.com")
    scan = str(scans / "scan3.nii.gz")
    sent = dss(site, who, "send", scan, "--service", "block", "--name", "Knee", "--no-wait")
    number = sent.stdout.split("dss watch ")[1].strip()

    watched = dss(site, who, "watch", number)
    shown = json.loads(dss(site, who, "show", number, "--json").stdout)
    fetched = dss(site, who, "download", number, str(tmp_path / "all.zip"))

    assert watched.returncode == 0, watched.stderr
    assert f"Ticket {number}: success, 100%." in watched.stdout
    assert (shown["service"], shown["status"], shown["title"]) == ("block", "success", "Knee")
    assert shown["created_at"] <= shown["ended_at"]
    assert fetched.returncode == 0, fetched.stderr
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        names = [name.rpartition("/")[2] for name in archive.namelist()]
    assert sorted(names) == sorted(shown["results"])


def test_an_output_that_is_a_file_is_refused_before_a_batch_is_sent(
    site: Site, scans: Path, tmp_path: Path
) -> None:
    who = guest_token(site, "max@example.com")
    (tmp_path / "taken").touch()

    done = dss(site, who, *command(site, scans, tmp_path / "taken")[len(DSS) :])

    assert done.returncode == 2
    assert done.stderr == f"{tmp_path / 'taken'} is a file; the results need a folder.\n"
    assert dss(site, who, "tickets").stdout == ""
