# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""A dispatcher that asks an inference server as it was years ago."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import dss_dispatch.inference.http_inference
from dss_broker.memory import MemoryBroker
from dss_broker.messages import (
    ClaimLogged,
)
from support.builders import segmentation, submit, write_image
from support.dispatchers import FakePortal, dispatcher, ready
from support.waiting import wait_until


@pytest.fixture(autouse=True)
def _asks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dss_dispatch.inference.http_inference, "POLL_S", 0.05)


@pytest.fixture
def datastore(tmp_path: Path) -> Path:
    submit(tmp_path / "datastore")
    return tmp_path / "datastore"


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
    thread = threading.Thread(target=running.serve_forever, args=(0.05,))
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
