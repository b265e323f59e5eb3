# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""A dispatcher that asks a server over HTTP: ours, or one as it was years ago."""

import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

import dss_dispatch.inference.http_inference
from dss_broker.memory import MemoryBroker
from dss_broker.messages import (
    AttachedFile,
    ClaimFailed,
    ClaimHeartbeat,
    ClaimLogged,
    ClaimProgressed,
    TicketWithdrawn,
)
from dss_datastore import layout
from dss_dispatch.settings import service_url
from dss_inference.errors import InferenceError
from dss_observability import tracing
from support.builders import submit
from support.dispatchers import FakePortal, dispatcher, ready
from support.facades import PLACE, TABLE, BrightBundle, facade
from support.stacks import free_port
from support.waiting import wait_until


@pytest.fixture(autouse=True)
def _asks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dss_dispatch.inference.http_inference, "POLL_S", 0.05)


@pytest.fixture
def datastore(tmp_path: Path) -> Path:
    submit(tmp_path / "datastore")
    return tmp_path / "datastore"


@pytest.fixture
def bundle() -> Iterator[BrightBundle]:
    made = BrightBundle()
    made.go_on.set()
    yield made
    made.go_on.set()


def results_left(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()]


def test_a_ticket_is_done_by_a_server_and_nothing_stays_there(
    broker: MemoryBroker,
    bundle: BrightBundle,
    datastore: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Variables for proxies count where the program starts; httpx itself would end with an error for this one."""
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy:1080")
    portal = FakePortal(broker)

    with facade(bundle, tmp_path / "remote") as url:
        dispatcher(broker, datastore, service_url=url).start(parallel=1)
        broker.publish(ready())

        assert len(portal.succeeded().files) == 3
        assert "bright: 4 ml" in portal.logged()
        assert any(line.endswith("s on cpu.") for line in portal.logged())
        wait_until(lambda: results_left(tmp_path / "remote") == [])


def test_the_result_of_a_server_lies_exactly_in_the_grid_of_an_oblique_image(
    broker: MemoryBroker, bundle: BrightBundle, datastore: Path, tmp_path: Path
) -> None:
    """The server answers in NRRD, whose spacing is computed from steps: here 0.6 became 0.6000000000000001."""
    portal = FakePortal(broker)
    (sent,) = (datastore / layout.area_dir(42, "input")).glob("*.nii.gz")
    image = sitk.ReadImage(str(sent))
    for degrees in range(10, 60):
        image.SetDirection(sitk.VersorTransform((0.3, 0.5, 0.8), math.radians(degrees)).GetMatrix())
        sitk.WriteImage(image, str(sent))
        sitk.WriteImage(sitk.ReadImage(str(sent)), str(tmp_path / "as.nrrd"))
        if (
            sitk.ReadImage(str(tmp_path / "as.nrrd")).GetSpacing()
            != sitk.ReadImage(sent).GetSpacing()
        ):
            break

    with facade(bundle, tmp_path / "remote") as url:
        dispatcher(broker, datastore, service_url=url).start(parallel=1)
        broker.publish(ready())

        assert len(portal.succeeded().files) == 3


def test_reports_and_landmarks_reach_the_ticket_as_from_the_queue(
    broker: MemoryBroker, bundle: BrightBundle, datastore: Path, tmp_path: Path
) -> None:
    portal = FakePortal(broker)

    with facade(bundle, tmp_path / "remote") as url:
        dispatcher(broker, datastore, service_url=url).start(parallel=1)
        broker.publish(ready())
        portal.succeeded()

    attached = [file for line in portal.of(ClaimLogged) for file in line.attachments]
    table = AttachedFile(name="findings.csv", description="What is bright", mime_type="text/csv")
    assert attached == [table]
    assert (datastore / layout.attached_dir(42, "claim1") / table.name).read_bytes() == TABLE
    (workspace,) = (datastore / layout.staging_dir(42, "claim1")).glob("*.itksnap")
    assert PLACE.text in workspace.read_text(encoding="utf-8")


def test_the_server_works_in_the_trace_of_the_ticket(
    broker: MemoryBroker, bundle: BrightBundle, datastore: Path, tmp_path: Path
) -> None:
    portal, given, seen = FakePortal(broker), f"00-{'a' * 32}-{'b' * 16}-01", list[str | None]()
    bundle.before = lambda: seen.append(tracing.current_traceparent.get())

    with facade(bundle, tmp_path / "remote") as url:
        dispatcher(broker, datastore, service_url=url).start(parallel=1)
        with tracing.in_span_of(given):
            broker.publish(ready())
        portal.succeeded()

    assert seen == [given]


def test_progress_is_passed_on_and_the_claim_is_kept_while_the_server_is_busy(
    broker: MemoryBroker, bundle: BrightBundle, datastore: Path, tmp_path: Path
) -> None:
    portal = FakePortal(broker, lease_s=0.3)
    bundle.go_on.clear()

    with facade(bundle, tmp_path / "remote") as url:
        dispatcher(broker, datastore, service_url=url).start(parallel=1)
        broker.publish(ready())

        portal.wait_until(lambda: "Inference: pausing." in portal.logged())
        portal.wait_until(lambda: len(portal.of(ClaimHeartbeat)) >= 3)
        portal.wait_until(lambda: 0.5 in [e.progress for e in portal.of(ClaimProgressed)])
        bundle.go_on.set()
        portal.succeeded()


def test_what_the_server_refuses_reaches_the_user_as_it_stands(
    broker: MemoryBroker, bundle: BrightBundle, datastore: Path, tmp_path: Path
) -> None:
    portal = FakePortal(broker)

    def refuse() -> None:
        raise InferenceError("The image is not in Hounsfield units.")

    bundle.before = refuse
    with facade(bundle, tmp_path / "remote") as url:
        dispatcher(broker, datastore, service_url=url).start(parallel=1)
        broker.publish(ready())

        assert portal.failed().reason == "The image is not in Hounsfield units."


def test_a_withdrawn_ticket_stops_the_server_too(
    broker: MemoryBroker, bundle: BrightBundle, datastore: Path, tmp_path: Path
) -> None:
    portal = FakePortal(broker)
    bundle.go_on.clear()

    with facade(bundle, tmp_path / "remote") as url:
        dispatcher(broker, datastore, service_url=url).start(parallel=1)
        broker.publish(ready())
        portal.wait_until(lambda: "Inference: pausing." in portal.logged())

        broker.publish(TicketWithdrawn(ticket_id=42, service="lung-segmentation"))

        wait_until(lambda: results_left(tmp_path / "remote") == [])
        wait_until(lambda: not (datastore / layout.work_dir(42, "claim1")).exists())
    assert portal.of(ClaimFailed) == []


def test_an_outage_while_it_works_is_sat_out(
    broker: MemoryBroker, bundle: BrightBundle, datastore: Path, tmp_path: Path
) -> None:
    portal, port = FakePortal(broker), free_port()
    bundle.go_on.clear()
    with facade(bundle, tmp_path / "remote", port) as url:
        dispatcher(broker, datastore, service_url=url).start(parallel=1)
        broker.publish(ready())
        portal.wait_until(lambda: "Inference: pausing." in portal.logged())

    time.sleep(0.3)
    bundle.go_on.set()
    with facade(bundle, tmp_path / "remote", port):
        portal.succeeded()

    assert len(portal.claims) == 1


def test_a_server_that_is_away_is_tried_again_and_given_up_with_a_sentence(
    broker: MemoryBroker, datastore: Path
) -> None:
    portal = FakePortal(broker)

    url = f"http://127.0.0.1:{free_port()}"
    dispatcher(broker, datastore, service_url=url).start(parallel=1)
    broker.publish(ready())

    assert portal.failed().reason.startswith(
        "The inference server of this service does not answer."
    )
    assert len(portal.claims) == 5
    assert url not in "".join(portal.logged())


@pytest.mark.parametrize(
    ("service", "name"),
    [
        ("lung-segmentation", "LUNG_SEGMENTATION_SERVICE_URL"),
        ("nodule-detection", "NODULE_DETECTION_SERVICE_URL"),
        ("cancer-detection", "CANCER_DETECTION_SERVICE_URL"),
    ],
)
def test_each_service_has_a_variable_of_its_own(service: str, name: str) -> None:
    assert service_url(service, {name: "http://worker:8080"}) == "http://worker:8080"
    assert service_url(service, {"OTHER_SERVICE_URL": "http://worker:8080"}) == ""
    with pytest.raises(ValueError, match=name):
        service_url(service, {name: "worker:8080"})
