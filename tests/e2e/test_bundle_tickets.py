# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Tickets that MONAI bundles work on, through every real part: portal, dispatchers, a worker, two servers."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_client.itksnap import ItkSnap
from dss_client.sending import Sent, send
from dss_client.workspace import read_outcome
from dss_inference.bundle_catalogue import DEMO_BUNDLES
from dss_inference.device.runner import runner_for
from dss_phantom.chest import PhantomSpec, make_phantom
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support.brokers import fresh_vhost
from support.builders import service_json, write_image
from support.bundle_folders import a_ball, write_bundle
from support.databases import migrated_database
from support.detector_folders import BALLS_MM, two_balls, write_ball_finder
from support.references import CHEST, CHEST_REFERENCE, dice, thirds_as_sides, voxels_of
from support.stacks import Stack
from support.waiting import wait_until
from support.watchers import Quiet

pytestmark = [pytest.mark.stack]

DEMO = "lung-segmentation-demo"
LARGE_FILES = """\
large_files:
- path: "models/model.pt"
  url: "https://models.example/x.pt"
  hash_val: "abc123"
  hash_type: "md5"
"""
SERVICES = (DEMO, "lung-segmentation", "threshold", "balls", "absent")


def write_installed(folder: Path) -> Path:
    """What a site has put where DSS_BUNDLES points."""
    write_bundle(folder / "threshold")
    (write_bundle(folder / "absent", weights=False) / "large_files.yml").write_text(
        LARGE_FILES, encoding="utf-8"
    )
    write_ball_finder(folder / "balls")
    (folder / DEMO).symlink_to(DEMO_BUNDLES / DEMO)
    return folder


def write_service(folder: Path, name: str) -> str:
    """A service whose work the bundle of its name does."""
    folder.mkdir()
    dispatch = {"tag": "CT", "bundle": name, "segmentation": name}
    (folder / "service.json").write_text(
        json.dumps(service_json(name=name, dispatch=dispatch)), encoding="utf-8"
    )
    return str(folder)


def start(stack: Stack) -> None:
    """``lung-segmentation`` is switched over to a bundle; the worker serves whatever lies in its folder."""
    changes = stack.folder / "changes"
    changes.mkdir()
    (changes / "lung-segmentation.json").write_text(
        '{"dispatch": {"provider": "bundle"}}', encoding="utf-8"
    )
    stack.start("portal")
    for name in SERVICES:
        builtin = name in (DEMO, "lung-segmentation")
        service = name if builtin else write_service(stack.folder / name, name)
        stack.start_one(name, "dss_dispatch", "serve", service, DSS_SERVICE_CHANGES=str(changes))
    installed = write_installed(stack.folder / "bundles")
    stack.start_one("inference", DSS_BUNDLES=str(installed), DSS_DEVICE="cpu", DSS_THREADS="2")


@pytest.fixture(scope="module")
def bundle_stack(
    rabbit: RabbitNode, postgres: PostgresCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    url = migrated_database(postgres.database_url, "bundles")
    with fresh_vhost(rabbit) as amqp_url:
        folder = tmp_path_factory.mktemp("bundles")
        stack = Stack(folder=folder, amqp_url=amqp_url, database_url=url)
        try:
            start(stack)
            wait_until(lambda: stack.announced() >= set(SERVICES), 150, stack.logs)
            yield stack
        finally:
            stack.stop()


@pytest.fixture
def ben(bundle_stack: Stack) -> Iterator[ItkSnap]:
    """A user of ITK-SNAP who has signed in."""
    with ItkSnap(bundle_stack.url) as client:
        client.login(bundle_stack.token("ben@example.com", "--tier", "poweruser"))
        yield client


def segmented(client: ItkSnap, scan: Path, service: str, folder: Path) -> tuple[Sent, sitk.Image]:
    sent = send(client, scan, service, folder, Quiet())
    assert sent.results is not None, sent.log
    (file,) = read_outcome(sent.results.workspace).segmentations
    return sent, sitk.ReadImage(str(file))


def names(sent: Sent) -> list[str]:
    assert sent.results is not None
    return [label.name for label in sent.results.labels]


@pytest.mark.parametrize("orientation", ["LPS", "RAS"])
def test_the_demo_bundle_finds_the_lungs_of_a_phantom(
    ben: ItkSnap, tmp_path: Path, orientation: str
) -> None:
    spec = PhantomSpec(
        size=(90, 80, 105), spacing_mm=(4.0, 4.0, 4.0), seed=7, orientation=orientation
    )
    phantom = make_phantom(spec, runner_for("cpu", 2))
    scan = write_image(tmp_path / "ct.nii.gz", phantom.ct)

    sent, found = segmented(ben, scan, DEMO, tmp_path / "results")

    truth = sitk.GetArrayFromImage(phantom.truth)
    assert min(dice(sitk.GetArrayFromImage(found), truth).values()) >= 0.95
    assert names(sent) == ["left lung (DEMO)", "right lung (DEMO)"]
    said = [line.message for line in sent.log]
    assert any(line.startswith("Segmented by the MONAI bundle 'Lungs, DEMO'") for line in said)


@pytest.mark.shared_data
def test_the_demo_bundle_finds_the_lungs_of_a_person(
    ben: ItkSnap, tmp_path: Path, shared_data: Path
) -> None:
    _, found = segmented(ben, shared_data / CHEST, DEMO, tmp_path)

    reference = thirds_as_sides(voxels_of(shared_data / CHEST_REFERENCE))
    assert min(dice(sitk.GetArrayFromImage(found), reference).values()) >= 0.93


def test_a_service_that_a_site_has_switched_over_is_done_by_the_bundle(
    ben: ItkSnap, tmp_path: Path
) -> None:
    phantom = make_phantom(
        PhantomSpec(size=(60, 54, 70), spacing_mm=(6.0, 6.0, 6.0)), runner_for("cpu", 2)
    )
    scan = write_image(tmp_path / "ct.nii.gz", phantom.ct)

    sent, _ = segmented(ben, scan, "lung-segmentation", tmp_path / "results")

    assert names(sent) == ["left lung (DEMO)", "right lung (DEMO)"]


def test_a_folder_dropped_in_serves_tickets_with_labels_from_its_metadata(
    ben: ItkSnap, tmp_path: Path
) -> None:
    ball = a_ball((0, 0, 1.0, 1.0, 0, 0, 0, -1.0, 0), (2.0, 2.5, 3.0))
    scan = write_image(tmp_path / "ct.nii.gz", ball)

    sent, found = segmented(ben, scan, "threshold", tmp_path / "results")

    assert names(sent) == ["soft tissue"]
    truth = sitk.GetArrayFromImage(ball) > 0
    inside = sitk.GetArrayFromImage(found) > 0
    assert 2 * np.sum(truth & inside) / (truth.sum() + inside.sum()) > 0.95


def test_a_detection_comes_back_with_a_label_for_each_finding(ben: ItkSnap, tmp_path: Path) -> None:
    scan = write_image(tmp_path / "ct.nii.gz", two_balls("RAS", 12.0))

    sent, found = segmented(ben, scan, "balls", tmp_path / "results")

    assert [name[:14] for name in names(sent)] == ["ball 1, 16 mm,", "ball 2, 16 mm,"]
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(found)
    for value, middle in enumerate(BALLS_MM, start=1):
        assert np.linalg.norm(np.array(shape.GetCentroid(value)) - middle) < 2.5
    assert sum("mm (LPS)" in line.message for line in sent.log) == 2


def test_a_bundle_without_weights_fails_a_ticket_with_where_to_get_them(
    ben: ItkSnap, tmp_path: Path
) -> None:
    scan = write_image(tmp_path / "ct.nii.gz", a_ball((1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), (2, 2, 2)))

    sent = send(ben, scan, "absent", tmp_path / "results", Quiet())

    assert sent.status == "failed"
    assert sent.log[-1].message == (
        "The algorithm 'absent' is not installed here. Its weights are not installed: "
        "fetch https://models.example/x.pt (md5 abc123) into models/model.pt."
    )
