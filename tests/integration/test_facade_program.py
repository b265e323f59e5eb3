# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""``dss-inference facade`` as a data scientist runs it, asked as an old dispatcher asks."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_inference.device.runner import runner_for
from dss_phantom.chest import PhantomSpec, make_phantom
from dss_phantom.files import write_phantom
from support import loopback
from support.facades import BrightBundle, facade
from support.stacks import free_port
from support.waiting import wait_until

START_S = 60


@dataclass
class FacadeProgram:
    folder: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        environment = {
            **os.environ,
            "DSS_FACADE_BIND": f"127.0.0.1:{self.port}",
            "DSS_FACADE_DIR": str(self.folder),
            "DSS_FACADE_MAX_BYTES": "50000000",
            "DSS_DEVICE": "cpu",
            "DSS_STOP_S": "5",
        }
        command = [sys.executable, "-m", "dss_inference", "facade"]
        self.process = subprocess.Popen(command, env=environment)
        wait_until(self.answers, START_S)

    def answers(self) -> bool:
        try:
            return loopback.get(f"{self.url}/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def end(self, how: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(START_S)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[FacadeProgram]:
    started = FacadeProgram(tmp_path / "output")
    started.start()
    yield started
    started.end(signal.SIGKILL)


@pytest.fixture(scope="module")
def chest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file name."""
    folder = tmp_path_factory.mktemp("chest")
    spec = PhantomSpec(size=(96, 72, 78), spacing_mm=(4.0, 4.0, 4.0), orientation="RAS")
    write_phantom(make_phantom(spec, runner_for("cpu", threads=2)), folder)
    return folder / "ct.nii.gz"


def sent(program: FacadeProgram, image: Path, route: str = "lung_segmentation") -> str:
    """As an old dispatcher does it; the address of the answer."""
    with image.open("rb") as file:
        answer = loopback.post(f"{program.url}/{route}/inference", files={"itk_image": file})
    assert answer.status_code == 200, answer.text
    return program.url + str(answer.json()["Endpoint"])


def mask(address: str, folder: Path) -> sitk.Image:
    deadline = time.monotonic() + START_S
    while (answer := loopback.get(address)).status_code != 200:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)
    (folder / "mask.nrrd").write_bytes(answer.content)
    return sitk.ReadImage(folder / "mask.nrrd", imageIO="NrrdImageIO")


def test_an_old_dispatcher_gets_its_mask_in_the_grid_of_the_image(
    program: FacadeProgram, chest: Path, tmp_path: Path
) -> None:
    found = mask(sent(program, chest), tmp_path)

    given, truth = sitk.ReadImage(chest), sitk.ReadImage(chest.with_name("truth.nii.gz"))
    assert found.GetSize() == given.GetSize()
    assert (found.GetSpacing(), found.GetOrigin()) == (given.GetSpacing(), given.GetOrigin())
    assert found.GetDirection() == given.GetDirection()
    inside, lungs = sitk.GetArrayFromImage(found) > 0, sitk.GetArrayFromImage(truth) > 0
    assert 2 * (inside & lungs).sum() / (inside.sum() + lungs.sum()) > 0.95


def test_nodules_are_found_at_the_old_address_too(
    program: FacadeProgram, chest: Path, tmp_path: Path
) -> None:
    found = mask(sent(program, chest, "nodule_detection"), tmp_path)

    assert found.GetSize() == sitk.ReadImage(chest).GetSize()


def test_a_result_outlives_the_program(program: FacadeProgram, chest: Path, tmp_path: Path) -> None:
    address = sent(program, chest)
    before = sitk.GetArrayFromImage(mask(address, tmp_path))

    assert program.end(signal.SIGTERM) == 0
    program.start()

    assert (sitk.GetArrayFromImage(mask(address, tmp_path)) == before).all()


def test_what_was_asked_of_a_program_that_died_is_answered_by_the_next(
    program: FacadeProgram, chest: Path, tmp_path: Path
) -> None:
    addresses = [sent(program, chest) for _ in range(3)]

    program.end(signal.SIGKILL)
    program.start()

    for address in addresses:
        assert sitk.GetArrayFromImage(mask(address, tmp_path)).any()


def test_a_body_without_a_length_is_stopped_when_it_is_too_large(program: FacadeProgram) -> None:
    def endless() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="itk_image"; filename="ct"\r\n\r\nNRRD'
        for _ in range(100):
            yield bytes(1_000_000)
        yield b"\r\n--x--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    try:
        answer = loopback.post(
            f"{program.url}/lung_segmentation/inference", content=endless(), headers=headers
        )
        assert answer.status_code == 413
    except httpx.TransportError:
        pass  # it hung up while the body was still being sent

    assert [path for path in program.folder.iterdir() if path.is_dir()] == []
    assert program.answers()


def test_an_upload_that_breaks_off_leaves_nothing(program: FacadeProgram) -> None:
    with socket.create_connection(("127.0.0.1", program.port)) as connection:
        connection.sendall(
            b"POST /lung_segmentation/inference HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
            b'--x\r\nContent-Disposition: form-data; name="itk_image"; filename="ct"\r\n\r\nNRRD'
        )
        wait_until(lambda: any(path.is_dir() for path in program.folder.iterdir()), START_S)

    wait_until(lambda: not any(path.is_dir() for path in program.folder.iterdir()), START_S)
    assert program.answers()


def test_an_address_of_ipv6_is_served(tmp_path: Path) -> None:
    with facade(BrightBundle(), tmp_path, host="[::1]") as address:
        assert loopback.get(f"{address}/healthz").status_code == 200
