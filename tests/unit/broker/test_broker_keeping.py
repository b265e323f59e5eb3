"""Work beside a program's own does not die unread."""

import logging
import threading
from collections.abc import Callable

import pytest

from dss_process import supervision
from dss_process.supervision import Health, Supervisor
from support.waiting import wait_until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "FIRST_DELAY_S", 0.05)
    monkeypatch.setattr(supervision, "STABLE_S", 0.2)


def failing(times: int, stop: threading.Event) -> Callable[[], None]:
    """Work that fails so often, and then goes on until ``stop``."""
    left = [times]

    def work() -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise ValueError(f"not yet, {left[0]}")
        stop.wait()

    return work


def test_work_that_dies_is_logged_with_its_cause_told_and_begun_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stop = threading.Event()
    supervisor = Supervisor(stop)

    thread = supervisor.start("announcements", failing(1, stop))

    wait_until(lambda: supervisor.problems() != [], 5)
    assert supervisor.problems() == [
        "The task 'announcements' ended with ValueError and is begun again; its log says why."
    ]
    wait_until(lambda: supervisor.problems() == [], 5)  # it has gone on since
    assert thread.is_alive()
    (line,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert line.exc_info is not None
    assert str(line.exc_info[1]) == "not yet, 0"
    stop.set()
    thread.join(5)


def test_work_that_is_done_is_not_begun_again() -> None:
    times: list[int] = []
    supervisor = Supervisor(threading.Event())

    supervisor.start("once", lambda: times.append(1)).join(5)

    assert times == [1]
    assert supervisor.problems() == []


def test_work_that_fails_for_ever_is_tried_ever_more_rarely_and_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    health = Health(name="listener")

    delays_s = []
    for _ in range(12):
        health.started()
        delays_s.append(health.failed(KeyError("a")))

    assert delays_s[:3] == [0.05, 0.1, 0.2]
    assert delays_s[-1] == supervision.LONGEST_DELAY_S
    assert len(caplog.records) == 1


def test_a_program_that_ends_does_not_wait_for_work_that_fails() -> None:
    stop = threading.Event()
    supervisor = Supervisor(stop)
    thread = supervisor.start("announcements", failing(1000, stop))
    wait_until(lambda: supervisor.problems() != [], 5)

    stop.set()

    thread.join(5)
    assert not thread.is_alive()
