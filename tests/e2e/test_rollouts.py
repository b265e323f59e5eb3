# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Ten rolling restarts and ten lost connections during one long inference: one success, one result."""

import json
import signal
import threading
from itertools import pairwise
from pathlib import Path

import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from chaos.cases import Case, Kind, is_right, write_case
from chaos.site import SERVICE, SERVICE_JSON, TESTS
from dss_broker.rabbit.dead_letters import open_session
from dss_client.itksnap import ItkSnap
from dss_client.sending import Sent, send
from dss_client.workspace import read_outcome
from support.stacks import Stack
from support.waiting import wait_until
from support.watchers import Quiet
from support.wire import Wire

pytestmark = [pytest.mark.stack]

SOON_S = 60
CASE = Case(number=1, kind=Kind.GOOD, work_ms=16_000)


@pytest.fixture
def rollout(own_stack: Stack) -> Stack:
    """Portal and dispatcher run; workers have no time to finish when they are stopped."""
    folder = own_stack.folder / "service"
    folder.mkdir()
    (folder / "service.json").write_text(json.dumps(SERVICE_JSON), encoding="utf-8")
    own_stack.settings |= {"DSS_STOP_S": "0.1", "PYTHONPATH": str(TESTS)}
    own_stack.start("portal")
    wait_until(own_stack.portal_ready, SOON_S, own_stack.logs)
    own_stack.start_one("dispatch", "dss_dispatch", "serve", str(folder))
    wait_until(lambda: SERVICE in own_stack.announced(), SOON_S, own_stack.logs)
    return own_stack


class User(threading.Thread):
    """Sends the case and waits for its end."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        super().__init__(daemon=True)
        self._stack, self._folder = stack, folder
        self.sent: list[Sent] = []

    def run(self) -> None:
        image = write_case(CASE, self._folder)
        with ItkSnap(self._stack.url) as client:
            client.login(self._stack.token("ann@example.com", "--tier", "poweruser"))
            self.sent.append(send(client, image, SERVICE, self._folder / "results", Quiet()))


def log_of(stack: Stack, worker: str) -> str:
    path = stack.folder / f"{worker}.log"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def start_worker(stack: Stack, name: str, amqp_url: str) -> None:
    """Returns when it waits for requests."""
    stack.start_one(name, "chaos.stand_in", DSS_INSTANCE=name, DSS_AMQP_URL=amqp_url)
    wait_until(lambda: "serving" in log_of(stack, name), SOON_S, stack.logs)


def works(stack: Stack, name: str) -> bool:
    return "working" in log_of(stack, name)


def test_ten_restarts_and_ten_lost_connections_in_one_inference_end_in_one_result(
    rollout: Stack, tmp_path: Path
) -> None:
    stack, wire = rollout, Wire(rollout.amqp_url)
    names = [f"worker-{number}" for number in range(11)]
    user = User(stack, tmp_path)
    start_worker(stack, names[0], stack.amqp_url)
    user.start()
    wait_until(lambda: works(stack, names[0]), SOON_S, stack.logs)

    for old, new in pairwise(names):
        start_worker(stack, new, wire.url)
        stopped = stack.running.pop(old)
        stopped.send_signal(signal.SIGTERM)
        assert stopped.wait(SOON_S) == 0
        wait_until(lambda name=new: works(stack, name), SOON_S, stack.logs)  # type: ignore[misc]  # bound now
    for number in range(10):
        made = wire.made
        wire.cut()
        wire.mend()
        wait_until(lambda before=made: wire.made > before, SOON_S, stack.logs)  # type: ignore[misc]  # bound now
        assert "inference finished" not in log_of(stack, names[-1]), number

    user.join(SOON_S)
    (sent,) = user.sent
    assert sent.status == "success", sent.log
    assert sent.results is not None
    (file,) = read_outcome(sent.results.workspace).segmentations
    assert is_right(sitk.GetArrayFromImage(sitk.ReadImage(str(file))), CASE)
    assert sum(line.message.startswith("Ticket claimed by") for line in sent.log) == 1
    assert [log_of(stack, name).count("inference finished") for name in names] == [0] * 10 + [1]
    with open_session(stack.amqp_url) as session:
        assert session.letters == []
    wire.close()
