# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""A dispatcher that asks a server over HTTP: ours, or one as it was years ago."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

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
from support.builders import segmentation, submit, write_image
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
    broker: MemoryBroker, bundle: BrightBundle, datastore: Path, tmp_path: Path
) -> None:
    portal = FakePortal(broker)

    with facade(bundle, tmp_path / "remote") as url:
        dispatcher(broker, datastore, service_url=url).start(parallel=1)
        broker.publish(ready())

        assert len(portal.succeeded().files) == 3
        assert "bright: 4 ml" in portal.logged()
        assert any(line.endswith("s on cpu.") for line in portal.logged())
        wait_until(lambda: results_left(tmp_path / "remote") == [], 10)


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
        with tracing.within(given):
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

        wait_until(lambda: results_left(tmp_path / "remote") == [], 10)
        wait_until(lambda: not (datastore / layout.work_dir(42, "claim1")).exists(), 10)
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


def reporting(file: dict[str, str]) -> bytes:
    label = {"value": 1, "name": "bright", "rgb": [1, 2, 3], "volume_ml": 4.5}
    return json.dumps({"labels": [label], "reports": [file]}).encode()


def test_reports_that_a_server_does_not_hand_out_are_left_out(
    broker: MemoryBroker, datastore: Path, tmp_path: Path
) -> None:
    """Ours only told their paths at first."""
    portal = FakePortal(broker)
    mask = write_image(tmp_path / "mask.nrrd", segmentation((1,))).read_bytes()
    report = reporting({"path": "1/findings.csv", "description": "", "mime_type": "text/csv"})

    with server(old_server(mask, not_yet=0, report=report)) as url:
        dispatcher(broker, datastore, service_url=url).start(parallel=1)
        broker.publish(ready())
        portal.succeeded()

    assert [line for line in portal.of(ClaimLogged) if line.attachments] == []


@pytest.mark.parametrize("name", ["../stolen", "a/b", "segmentation.nrrd", ".hidden"])
def test_a_server_cannot_choose_where_its_reports_are_written(
    broker: MemoryBroker, datastore: Path, tmp_path: Path, name: str
) -> None:
    portal = FakePortal(broker)
    mask = write_image(tmp_path / "mask.nrrd", segmentation((1,))).read_bytes()
    files = set(datastore.rglob("*"))

    with server(old_server(mask, not_yet=0, report=reporting({"name": name}))) as url:
        dispatcher(broker, datastore, service_url=url).start(parallel=1)
        broker.publish(ready())

        assert "not understood" in portal.failed().reason
    wait_until(lambda: {path for path in datastore.rglob("*") if path.is_file()} <= files)


@contextmanager
def server(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}"
    finally:
        running.shutdown()
        thread.join()
        running.server_close()


def old_server(mask: bytes, *, not_yet: int, report: bytes = b"") -> type[BaseHTTPRequestHandler]:
    """Says 404 without a word ``not_yet`` times, then hands the mask out; ``report`` it may not know."""
    asked: list[str] = []
    known = {"/media/7.nrrd": mask} | ({"/media/7.nrrd/report": report} if report else {})

    class Old(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            ours = self.path == "/lung_segmentation/inference" and b'name="itk_image"' in body
            self.answer(200 if ours else 400, b'{"Endpoint": "/media/7.nrrd"}')

        def do_GET(self) -> None:
            asked.append(self.path)
            there = self.path in known and len(asked) > not_yet
            self.answer(200 if there else 404, known[self.path] if there else b"<h1>Not Found</h1>")

        def answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return Old


def test_an_old_server_is_understood_and_its_labels_are_measured(
    broker: MemoryBroker, datastore: Path, tmp_path: Path
) -> None:
    portal = FakePortal(broker)
    mask = write_image(tmp_path / "mask.nrrd", segmentation((1, 2))).read_bytes()

    with server(old_server(mask, not_yet=3)) as url:
        dispatcher(broker, datastore, service_url=url).start(parallel=1)
        broker.publish(ready())

        assert len(portal.succeeded().files) == 3
    assert "Label 1: 0 ml" in portal.logged()
    assert "Label 2: 0 ml" in portal.logged()


def test_an_old_server_that_never_finishes_is_given_up(
    broker: MemoryBroker, datastore: Path
) -> None:
    portal = FakePortal(broker)

    with server(old_server(b"", not_yet=1000)) as url:
        dispatcher(broker, datastore, service_url=url, silence_s=0.2).start(parallel=1)
        broker.publish(ready())

        assert "does not answer" in portal.failed().reason


@pytest.mark.parametrize("mask", [b"<html>Please sign in</html>", b""])
def test_a_mask_that_is_no_image_is_never_handed_out(
    broker: MemoryBroker, datastore: Path, mask: bytes
) -> None:
    portal = FakePortal(broker)

    with server(old_server(mask, not_yet=0)) as url:
        dispatcher(broker, datastore, service_url=url).start(parallel=1)
        broker.publish(ready())

        assert "segmentation.nrrd" in portal.failed().reason


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
