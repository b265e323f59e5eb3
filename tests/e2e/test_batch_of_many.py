"""A guest sends many scans, some of them bad, while portal and network fail: all ends, each reason is told, nothing twice.

``DSS_TEST_SCANS=200`` tries more than the suite does: a quota of ten, five bad scans.
"""

import csv
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support.blocks import DSS, block_site, guest_token, rows, write_scan
from support.relays import Relay, relay
from support.sites import Site
from support.waiting import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1800)]

SCANS = int(os.environ.get("DSS_TEST_SCANS", "20"))
QUOTA = 10 if SCANS >= 100 else 3
CUT_OFF = ("scan3", "scan90", "scan160") if SCANS >= 200 else ("scan3",)
EMPTY = ("scan6", "scan120") if SCANS >= 200 else ("scan6",)
"""Scans that are bad: their files end too early; the service refuses them."""
FAULTS = 2
"""How often the portal or the network is lost."""
WITHIN_S = 1200.0


@pytest.fixture(scope="module")
def site(
    rabbit: RabbitNode, postgres: PostgresCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with block_site(
        rabbit, postgres, tmp_path_factory.mktemp("many"), QUOTA, parallel=1
    ) as running:
        yield running


@pytest.fixture
def network(site: Site) -> Iterator[Relay]:
    with relay(site.stack.port) as found:
        yield found


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(SCANS):
        path = folder / f"scan{number}.nii.gz"
        write_scan(path, 0 if f"scan{number}" in EMPTY else 1 + number % 40)
        if f"scan{number}" in CUT_OFF:
            path.write_bytes(path.read_bytes()[:60])
    return folder


def test_a_guest_s_batch_survives_portal_and_network_and_tells_each_reason(
    site: Site, network: Relay, scans: Path, tmp_path: Path
) -> None:
    output, told = tmp_path / "out", tmp_path / "told.txt"
    words = ["send", str(scans), "--each", "--service", "block", "--output", str(output)]
    own = {"DSS_SERVER": network.url, "DSS_TOKEN": guest_token(site, "ann@example.com")}
    with (
        told.open("wb") as stream,
        subprocess.Popen([*DSS, *words], env={**os.environ, **own}, stdout=stream, stderr=stream) as sending,
    ):  # fmt: skip
        try:
            wait_until(lambda: succeeded(output) >= SCANS // 4, WITHIN_S, site.stack.logs)
            site.stack.kill("portal")
            site.stack.start_one("portal")
            wait_until(lambda: succeeded(output) >= SCANS // 2, WITHIN_S, site.stack.logs)
            before = outages(told)  # none, if the portal was back before it was asked
            network.cut()
            wait_until(lambda: outages(told) > before, 60)
            network.mend()
            status = sending.wait(WITHIN_S)
        finally:
            sending.kill()

    said = told.read_text(encoding="utf-8")
    assert status == 1, said
    bad = len(CUT_OFF) + len(EMPTY)
    assert f"{SCANS - bad} of {SCANS} succeeded" in said
    assert said.count("The site allows you no more open tickets;") <= 2
    assert "until tickets of this batch end" in said
    found = rows(output / "results.csv")
    assert Counter(row["status"] for row in found.values()) == {
        "success": SCANS - bad,
        "not sent": len(CUT_OFF),
        "failed": len(EMPTY),
    }
    assert all("ends too early" in found[name]["reason"] for name in CUT_OFF)
    assert {found[name]["reason"] for name in EMPTY} == {"The image is empty."}
    assert volumes(output) == {
        f"scan{n}": (1 + n % 40) / 1000
        for n in range(SCANS)
        if f"scan{n}" not in (*CUT_OFF, *EMPTY)
    }
    (made,) = site.sql("SELECT count(*) FROM ticket WHERE status NOT IN ('deleted', 'init')")
    assert made == (SCANS - len(CUT_OFF),)
    (left,) = site.sql("SELECT count(*) FROM ticket WHERE status = 'init'")
    assert left[0] in range(
        FAULTS + 1
    )  # a ticket whose creation was answered by nobody stays without a file


def outages(told: Path) -> int:
    return told.read_text("utf-8").count("does not answer")


def succeeded(output: Path) -> int:
    table = output / "results.csv"
    if not table.is_file():
        return 0
    return sum(row["status"] == "success" for row in rows(table).values())


def volumes(output: Path) -> dict[str, float]:
    with (output / "volumes.csv").open(newline="", encoding="utf-8") as file:
        return {row["name"]: float(row["ml"]) for row in csv.DictReader(file)}
