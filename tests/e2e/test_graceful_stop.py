"""SIGTERM in the middle of a ticket: what is in hand is finished or handed back, and nothing is lost."""

import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from dss_client.itksnap import ItkSnap
from dss_client.records import Detail
from dss_client.sending import Sent, send
from dss_inference.device.runner import Runner
from dss_phantom.chest import PhantomSpec, make_phantom
from support import loopback
from support.builders import write_image
from support.stacks import Stack
from support.waiting import wait_until
from support.watchers import Quiet

pytestmark = [pytest.mark.stack]

BUSY_S = 60.0


@pytest.fixture(scope="module")
def chest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Large enough that there is time to stop somebody."""
    spec = PhantomSpec(size=(160, 160, 120), spacing_mm=(2.4, 2.4, 2.6))
    phantom = make_phantom(spec, Runner("cpu"))
    return write_image(tmp_path_factory.mktemp("chest") / "ct.nii.gz", phantom.ct)


class Stopping(Quiet):
    """Sends ``program`` SIGTERM ``times`` times when inference has begun; starts another one then.

    If ``unanswered``, the worker stands still until the program has ended.
    """

    def __init__(
        self, stack: Stack, program: str, times: int = 1, *, unanswered: bool = False
    ) -> None:
        self._stack, self._program, self._times = stack, program, times
        self._unanswered = unanswered
        self.stopped: subprocess.Popen[bytes] | None = None
        self.asked_at = 0.0

    def polled(self, detail: Detail) -> None:
        begun = any(line.message.startswith("Inference:") for line in detail.log)
        if self.stopped is None and begun:
            self.stopped = self._stack.running.pop(self._program)
            self.asked_at = time.monotonic()
            if self._unanswered:
                self._end_unanswered(self.stopped)
            else:
                self._end(self.stopped)
            self._stack.health_ports.pop(self._program)  # the old one may hold its port for a while
            self._stack.start_one(self._program)

    def _end(self, program: subprocess.Popen[bytes]) -> None:
        for _ in range(self._times):
            program.send_signal(signal.SIGTERM)
            wait_until(lambda: not catches_term(program.pid), BUSY_S, self._stack.logs)

    def _end_unanswered(self, program: subprocess.Popen[bytes]) -> None:
        worker = self._stack.running["inference"]
        worker.send_signal(signal.SIGSTOP)
        try:
            self._end(program)
            self.code()
        finally:
            worker.send_signal(signal.SIGCONT)

    def code(self) -> int:
        """The exit status of the stopped program; fails with what its threads do if it goes on."""
        assert self.stopped is not None
        try:
            return self.stopped.wait(BUSY_S)
        except subprocess.TimeoutExpired:
            self.stopped.send_signal(signal.SIGUSR1)
            time.sleep(1)
            pytest.fail(self._stack.logs())


def catches_term(pid: int) -> bool:
    """Until it has seen SIGTERM; from then on that ends it (proc(5), SigCgt)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def claims(sent: Sent) -> int:
    return sum(line.message.startswith("Ticket claimed by") for line in sent.log)


@pytest.fixture(scope="module")
def hasty(stack: Stack) -> None:
    """From now on dispatchers and workers have no time to finish."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DSS_STOP_S", "0.2")
        for program in ("dispatch", "inference"):
            restart(stack, program)


def restart(stack: Stack, program: str) -> None:
    old = stack.running.pop(program)
    old.send_signal(signal.SIGTERM)
    assert old.wait(BUSY_S) == 0
    stack.start_one(program)
    port = stack.health_ports[program]
    wait_until(lambda: ready(port), BUSY_S, stack.logs)


def ready(port: int) -> bool:
    try:
        return loopback.get(f"http://127.0.0.1:{port}/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("program", ["dispatch", "inference"])
def test_a_program_finishes_what_it_has_in_hand(
    stack: Stack, ann: ItkSnap, chest: Path, tmp_path: Path, program: str
) -> None:
    stopping = Stopping(stack, program)

    sent = send(ann, chest, "lung-segmentation", tmp_path, stopping)

    assert (stopping.code(), sent.status) == (0, "success"), sent.log
    assert claims(sent) == 1


def test_the_second_signal_ends_a_program_at_once(
    stack: Stack, ann: ItkSnap, chest: Path, tmp_path: Path
) -> None:
    stopping = Stopping(stack, "dispatch", times=2)

    sent = send(ann, chest, "lung-segmentation", tmp_path, stopping)

    assert stopping.code() == -signal.SIGTERM
    assert sent.status == "success", sent.log


def test_a_portal_finishes_an_upload_and_takes_no_new_connection(
    stack: Stack, ann: ItkSnap
) -> None:
    with loopback.client(base_url=stack.url) as client:
        client.post("/api/login", data={"token": stack.token("ann@example.com")})
        ticket = int(client.post("/api/tickets", data={"name": "lung-segmentation"}).text)
        cookie = "; ".join(f"{c.name}={c.value}" for c in client.cookies.jar)
    body = (
        b'--x\r\nContent-Disposition: form-data; name="myfile"; filename="a.itksnap"\r\n\r\n'
        + b"v" * 100_000
        + b"\r\n--x--\r\n"
    )
    head = (
        f"POST /api/tickets/{ticket}/files/input HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as upload:
        upload.sendall(head.encode() + body[:50_000])
        time.sleep(0.5)
        portal = stack.running.pop("portal")
        portal.send_signal(signal.SIGTERM)
        wait_until(lambda: not listens(stack.port), BUSY_S, stack.logs)
        time.sleep(4)  # hypercorn's own patience is 3 s
        upload.sendall(body[50_000:])
        answer = upload.recv(4096)

    assert answer.startswith(b"HTTP/1.1 200"), answer
    assert portal.wait(BUSY_S) == 0
    stack.start_one("portal")
    wait_until(lambda: "lung-segmentation" in stack.announced(), BUSY_S, stack.logs)
    ann.login(stack.token("ann@example.com"))
    assert (stack.datastore / f"tickets/{ticket:08d}/input/a.itksnap").stat().st_size == 100_000


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("program", ["dispatch", "inference"])
def test_a_program_without_time_hands_back_what_it_has_in_hand(
    stack: Stack, ann: ItkSnap, chest: Path, tmp_path: Path, program: str
) -> None:
    stopping = Stopping(stack, program, unanswered=program == "dispatch")

    sent = send(ann, chest, "lung-segmentation", tmp_path, stopping)

    assert (stopping.code(), sent.status) == (0, "success"), sent.log
    assert claims(sent) == (2 if program == "dispatch" else 1)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
