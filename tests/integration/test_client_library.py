"""The library: the same conversation by the blocking and by the asynchronous client, against a server that records it."""

import asyncio
import gzip
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import dss_client
from dss_client import (
    AsyncClient,
    ImageUnreadable,
    Refused,
)
from dss_client.records import ServiceDetail
from dss_client.unchanged_files import SilentWatcher, prepared
from dss_workspace.layers import layers
from dss_workspace.registry import read
from support import both_clients
from support.both_clients import (
    HASH,
    lines,
)
from support.builders import LayerSpec, WorkspaceSpec, image, workspace_xml, write_image
from support.recorder import COOKIE, Recorder, refusal

recorder = both_clients.recorder
run = both_clients.run


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_image(tmp_path / "MUELLER_HANS.nii.gz", image())


def test_a_one_time_token_opens_a_session_that_later_requests_use(
    run: Callable[..., object], recorder: Recorder
) -> None:
    email = run(lambda client: (client.login("secret"), client.account())[1])

    assert email == "a@b"
    assert recorder.requests[0].body == b"token=secret"
    assert recorder.requests[1].header("Cookie") == COOKIE


def test_a_token_for_programs_goes_with_each_request(
    run: Callable[..., object], recorder: Recorder
) -> None:
    rows = run(lambda client: client.services(), token="dss_x")

    assert [row.name for row in rows] == ["lungs"]  # type: ignore[attr-defined]  # rows, as the call gives them
    assert recorder.requests[0].header("Authorization") == "Bearer dss_x"


def test_a_scan_is_sent_as_it_is_under_a_name_that_tells_nothing(
    run: Callable[..., object], recorder: Recorder, scan: Path
) -> None:
    number = run(lambda client: client.send(scan, "lungs"))

    assert number == 7
    assert lines(recorder) == [
        "GET /api/services?format=json",
        f"GET /api/services/{HASH}/detail",
        "POST /api/tickets",
        "POST /api/tickets/7/files/input",
        "POST /api/tickets/7/files/input",
        "POST /api/tickets/7/status",
    ]
    first, second = (request.body for request in recorder.requests[3:5])
    assert scan.read_bytes() in first
    assert b"MUELLER" not in first + second
    assert b'"Dimensions" value="' in second.replace(b"  ", b" ")


def test_a_workspace_is_sent_with_its_layers_as_they_are(
    run: Callable[..., object], recorder: Recorder, scan: Path, tmp_path: Path
) -> None:
    workspace = tmp_path / "case.itksnap"
    spec = WorkspaceSpec(layers=(LayerSpec(file_name=scan.name, tags="CT"),))
    workspace.write_bytes(workspace_xml(spec))

    run(lambda client: client.send(workspace, "lungs"))

    uploads = [r.body for r in recorder.requests if "files/input" in r.line]
    assert len(uploads) == 2
    assert scan.read_bytes() in uploads[0]
    assert b"MUELLER" not in b"".join(uploads)


def test_what_cannot_be_sent_whole_is_withdrawn(
    run: Callable[..., object], recorder: Recorder, scan: Path
) -> None:
    recorder.answers["POST /api/tickets/7/status"] = refusal("400 Bad Request")

    with pytest.raises(Refused):
        run(lambda client: client.send(scan, "lungs"))

    assert lines(recorder)[-1] == "GET /api/tickets/7/delete"


@pytest.mark.parametrize("kind", ["nrrd", "text", "cut", "none"])
def test_what_is_no_nifti_is_refused_before_a_ticket_is_made(
    run: Callable[..., object], recorder: Recorder, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / f"scan.{kind}"
    if kind == "nrrd":
        write_image(path, image())
    elif kind == "text":
        path.write_text("not an image", encoding="utf-8")
    elif kind == "cut":
        path.write_bytes(gzip.compress(struct.pack("<i", 348) + bytes(344))[:-12])

    with pytest.raises(ImageUnreadable):
        run(lambda client: client.send(path, "lungs"))

    assert "POST /api/tickets" not in lines(recorder)


async def test_a_cancelled_send_leaves_nothing_on_the_server(
    recorder: Recorder, scan: Path
) -> None:
    recorder.silent.add("POST /api/tickets/7/files")
    begun, released = threading.Event(), threading.Event()

    class Recorder(SilentWatcher):
        """Holds the upload between two pieces, so that it is never done before it is cancelled."""

        def moved(self, done_bytes: int, total_bytes: int) -> None:
            begun.set()
            released.wait(60)

    async with AsyncClient(recorder.address) as client:
        sending = asyncio.create_task(client.send(scan, "lungs", listener=Recorder()))
        await asyncio.to_thread(begun.wait, 60)
        sending.cancel()
        for _ in range(5):  # turns of the loop until the task has heard of it
            await asyncio.sleep(0)
        released.set()
        with pytest.raises(asyncio.CancelledError):
            await sending

    assert lines(recorder)[-1] == "GET /api/tickets/7/delete"


def test_importing_the_library_loads_no_other() -> None:
    heavy = "{'httpx', 'numpy', 'SimpleITK', 'pydicom', 'msgspec', 'typer', 'rich', 'asyncio'}"
    code = f"import sys, dss_client; dss_client.__all__; print(sorted({heavy} & set(sys.modules)))"

    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    )

    assert said.stdout == "[]\n"


def test_every_name_of_the_library_is_there() -> None:
    assert all(hasattr(dss_client, name) for name in dss_client.__all__)
    assert set(dir(dss_client)) == set(dss_client.__all__)
    with pytest.raises(AttributeError):
        _ = dss_client.nothing


def test_a_workspace_for_a_plain_scan_names_its_size(tmp_path: Path, scan: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()

    written = prepared(scan, {}, ServiceDetail(), folder)(3)

    assert len(layers(read(written))) == 1
