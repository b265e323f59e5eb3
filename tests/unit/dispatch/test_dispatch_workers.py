"""A dispatcher knows whether there is a worker to ask."""

import time

import pytest

from dss_broker.messages import WorkerAnnounced
from dss_dispatch.inference.worker_liveness import WorkerLiveness
from support.deliveries import Heard


class Clock:
    """What ``time.monotonic`` says, as a test sets it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now_s)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_worker_is_missed_when_the_last_one_has_been_silent_for_twelve_seconds(
    clock: Clock,
) -> None:
    workers = WorkerLiveness()
    workers.handle(_announced("a"))
    clock.now_s += 11
    workers.handle(_announced("b"))

    clock.now_s += 11
    assert not workers.are_missing

    clock.now_s += 2
    assert workers.are_missing


def test_a_worker_that_says_goodbye_is_missed_at_once(clock: Clock) -> None:
    workers = WorkerLiveness()
    clock.now_s += 20
    workers.handle(_announced("a"))
    assert not workers.are_missing

    workers.handle(_announced("a", ends=True))

    assert workers.are_missing


def test_nobody_is_missed_before_there_was_time_to_hear_somebody(clock: Clock) -> None:
    workers = WorkerLiveness()
    assert not workers.are_missing
    clock.now_s += 60
    assert workers.are_missing

    workers.note(connected=False)
    clock.now_s += 11

    assert not workers.are_missing


def _announced(instance: str, *, ends: bool = False) -> Heard:
    message = WorkerAnnounced(bundle="lungs", instance=instance, device="cpu", ends=ends)
    return Heard(message=message)
