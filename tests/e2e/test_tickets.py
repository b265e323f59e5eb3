# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Tickets from ITK-SNAP's upload to the workspace that comes back, through every real part."""

import asyncio
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import asyncpg
import numpy as np
import pika  # no py.typed
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_broker.topology import EXCHANGE
from dss_client.itksnap import ItkSnap
from dss_client.workspace import read_outcome
from dss_inference.device.runner import Runner
from dss_phantom.chest import PhantomSpec, make_phantom
from support import loopback
from support.builders import (
    MAIN,
    WorkspaceSpec,
    landmarks_xml,
    time_points_xml,
    workspace_xml,
    write_image,
)
from support.dicom_series import Plane, write
from support.segmented import segmented
from support.stacks import Stack
from support.waiting import wait_until

pytestmark = [pytest.mark.stack]


def dice(found: sitk.Image, truth: np.ndarray) -> float:
    inside = sitk.GetArrayFromImage(found) > 0
    return float(2 * (inside & truth).sum() / (inside.sum() + truth.sum()))


def voxels(path: Path) -> np.ndarray:
    return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(str(path))))


@pytest.mark.shared_data
def test_a_real_chest_comes_back_with_both_lungs(
    ann: ItkSnap, shared_data: Path, tmp_path: Path
) -> None:
    sent, found = segmented(ann, shared_data / "cip" / "ct-64.nrrd", tmp_path)

    reference = voxels(shared_data / "cip" / "lm-64.nrrd") & 0xFF
    assert dice(found, (reference >= 9) & (reference <= 14)) >= 0.97
    assert sent.results is not None
    assert [label.name for label in sent.results.labels] == ["left lung", "right lung"]


def test_a_ticket_leaves_what_it_cost_and_the_next_one_is_estimated(
    ann: ItkSnap, stack: Stack, scan: Path, tmp_path: Path
) -> None:
    sent, _ = segmented(ann, scan, tmp_path)

    (run,) = asyncio.run(newest_run(stack.database_url))
    assert (run["device"], run["voxels"]) == ("cpu", 64 * 64 * 52)
    assert 0 < run["seconds"] < sent.seconds["queue"] + sent.seconds["work"] + 2
    (row,) = [row for row in ann.services() if row.name == "lung-segmentation"]
    expected = re.compile(r"Takes (a few seconds|about .+), none before you\.")
    # The estimates may be as old as FRESH_S, and then know the ticket as one that is not done.
    wait_until(
        lambda: expected.fullmatch(ann.service_estimates(scan.stat().st_size)[row.githash]), 10
    )


async def newest_run(url: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch("SELECT * FROM run ORDER BY id DESC LIMIT 1"))
    finally:
        await connection.close()


@pytest.mark.shared_data
def test_lung_bases_next_to_bowel_gas_come_back(
    ann: ItkSnap, shared_data: Path, tmp_path: Path
) -> None:
    folder = shared_data / "totalsegmentator"

    _, found = segmented(ann, folder / "example_ct_sm.nii.gz", tmp_path)

    reference = voxels(folder / "example_seg.nii.gz")
    assert dice(found, (reference >= 10) & (reference <= 14)) >= 0.93


def test_a_tilted_dicom_series_is_segmented_and_the_log_says_what_was_done(
    ann: ItkSnap, tmp_path: Path
) -> None:
    """A series of 60 slices whose gantry is tilted by 8 degrees, beside a shorter one."""
    chest = make_phantom(PhantomSpec(size=(72, 64, 60), spacing_mm=(5.0, 5.0, 5.0)), Runner("cpu"))
    turn = np.radians(8.0)
    tilted = (1.0, 0.0, 0.0, 0.0, float(np.cos(turn)), -float(np.sin(turn)))
    slices = [
        Plane(
            position=(0.0, 0.0, 5.0 * k),
            orientation=tilted,
            spacing=(5.0, 5.0),
            stored=values,
            number=k + 1,
            name=f"CT.{k:03d}",
        )
        for k, values in enumerate(sitk.GetArrayFromImage(chest.ct))
    ]
    other = {"SeriesInstanceUID": "1.2.3", "SeriesNumber": 9}
    write(
        tmp_path / "study",
        [*slices, *(replace(s, name=f"b{s.name}", tags=other) for s in slices[:9])],
    )

    sent, found = segmented(ann, tmp_path / "study", tmp_path / "results")

    log = [(line.category, line.message) for line in sent.log]
    text = "From the sender: The image was resampled from a gantry tilt of 8.0 degrees"
    assert any(category == "warning" and line.startswith(text) for category, line in log)
    assert any(
        line.startswith("From the sender: DICOM series 3 (CT) of 60 slices") for _, line in log
    )
    assert found.GetSize()[1] > 64
    assert sitk.GetArrayFromImage(found).any()


@pytest.mark.parametrize(
    ("orientation", "oblique_deg"), [("LPS", 0.0), ("RAS", 0.0), ("PIR", 0.0), ("LPS", 20.0)]
)
def test_the_segmentation_has_the_very_grid_of_the_image(
    ann: ItkSnap, tmp_path: Path, orientation: str, oblique_deg: float
) -> None:
    spec = PhantomSpec(
        size=(72, 64, 60) if orientation != "PIR" else (64, 60, 72),
        spacing_mm=(5.0625, 5.123, 5.0) if orientation != "PIR" else (5.123, 5.0, 5.0625),
        origin_mm=(-101.33, 57.01, -1234.5),
        orientation=orientation,
        oblique_deg=oblique_deg,
    )
    phantom = make_phantom(spec, Runner("cpu"))
    scan = write_image(tmp_path / "ct.nii.gz", phantom.ct)
    uploaded = sitk.ReadImage(str(scan))

    _, found = segmented(ann, scan, tmp_path / "results")

    assert found.GetSize() == uploaded.GetSize()
    assert found.GetSpacing() == uploaded.GetSpacing()
    assert found.GetOrigin() == uploaded.GetOrigin()
    assert found.GetDirection() == pytest.approx(uploaded.GetDirection(), abs=1e-4)
    truth = sitk.GetArrayFromImage(phantom.truth)
    sides = sitk.GetArrayFromImage(found)
    for side in (1, 2):
        overlap = 2 * ((sides == side) & (truth == side)).sum()
        assert overlap / ((sides == side).sum() + (truth == side).sum()) > 0.95


def test_a_box_of_one_time_point_is_marked_in_the_whole_series(
    ann: ItkSnap, tmp_path: Path
) -> None:
    phantom = make_phantom(PhantomSpec(size=(64, 64, 52), spacing_mm=(6, 6, 6)), Runner("cpu"))
    nobody = sitk.Image(phantom.ct) * 0 - 1000
    series = sitk.JoinSeries([nobody, sitk.Cast(phantom.ct, nobody.GetPixelID()), nobody])
    layer = write_image(tmp_path / MAIN.file_name, series)
    corners = landmarks_xml(("CropFrom", "43.5 50.5 39.5"), ("mine,CropTo", "20.2 10.7 12.1"))
    spec = WorkspaceSpec(
        dimensions="64 64 52", extra=corners + time_points_xml("", "TimePoint", "")
    )
    (tmp_path / "ticket.itksnap").write_bytes(workspace_xml(spec))
    ticket = ann.create_ticket("lung-segmentation")
    for file in (layer, tmp_path / "ticket.itksnap"):
        ann.upload(ticket, file)
    ann.submit(ticket)
    log = [line.message for detail in ann.wait(ticket, every_s=0.1) for line in detail.log]
    assert ann.detail(ticket).status == "success", log

    files = ann.download_results(ticket, tmp_path / "results")

    (found,) = read_outcome(next(f for f in files if f.suffix == ".itksnap")).segmentations
    marked, lungs = voxels(found), sitk.GetArrayFromImage(phantom.truth) > 0
    box = np.s_[12:40, 10:51, 20:44]
    assert marked.shape == (3, 52, 64, 64)
    assert not marked[0].any()
    assert not marked[2].any()
    assert np.count_nonzero(marked[1]) == np.count_nonzero(marked[1][box])
    overlap = 2 * ((marked[1][box] > 0) & lungs[box]).sum()
    assert overlap / ((marked[1][box] > 0).sum() + lungs[box].sum()) > 0.97
    assert "Of 3 time points, number 2 is looked at." in log
    assert "Only the marked box of 144 x 246 x 168 mm is looked at." in log


def test_every_program_tells_how_it_is_and_what_it_has_done(
    stack: Stack, ann: ItkSnap, tmp_path: Path
) -> None:
    phantom = make_phantom(PhantomSpec(size=(64, 64, 52), spacing_mm=(6, 6, 6)), Runner("cpu"))
    segmented(ann, write_image(tmp_path / "ct.nii.gz", phantom.ct), tmp_path / "results")

    for program, said in (
        ("portal", 'dss_tickets{service="lung-segmentation",status="success"}'),
        ("portal", 'dss_ticket_stage_seconds_count{service="lung-segmentation",stage="total"}'),
        (
            "portal",
            'dss_http_requests_total{method="GET",route="/api/tickets/<int:ticket_id>/detail"',
        ),
        ("dispatch", 'dss_dispatch_tickets_total{outcome="success",service="lung-segmentation"}'),
        ("inference", 'dss_inference_requests_total{bundle="lung-segmentation"'),
    ):
        base = f"http://127.0.0.1:{stack.health_ports[program]}"
        assert loopback.get(f"{base}/healthz").text == "ok"
        assert (loopback.get(f"{base}/readyz").status_code, program) == (200, program)
        wait_until(partial(_tells, base, said), 15)


def _tells(base: str, said: str) -> bool:
    return said in loopback.get(f"{base}/metrics").text


def test_plain_answers_have_no_content_type(stack: Stack) -> None:
    answer = loopback.get(f"{stack.url}/api/login")

    assert (answer.status_code, answer.text) == (401, "You are not logged in!")
    assert "Content-Type" not in answer.headers


def test_a_doubled_slash_is_understood(stack: Stack) -> None:
    with ItkSnap(f"{stack.url}/") as client:
        assert client.login(stack.token("slash@example.com")) == "slash@example.com"


def test_no_message_is_larger_than_a_few_kilobytes(
    stack: Stack, ann: ItkSnap, tmp_path: Path
) -> None:
    phantom = make_phantom(PhantomSpec(size=(64, 64, 52), spacing_mm=(6, 6, 6)), Runner("cpu"))
    connection = pika.BlockingConnection(pika.URLParameters(stack.amqp_url))
    try:
        channel = connection.channel()
        tap = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(tap, EXCHANGE, "#")
        segmented(ann, write_image(tmp_path / "ct.nii.gz", phantom.ct), tmp_path / "results")
        sizes = []
        while (got := channel.basic_get(tap, auto_ack=True))[0] is not None:
            sizes.append(len(got[2]))
    finally:
        connection.close()

    assert len(sizes) >= 6  # asked, granted, inference begun and ended, reported, ended
    assert max(sizes) < 4096
