"""Progress is told beside the work: it holds nothing up, never goes back, and does not flood the log."""

import pytest

from dss_provider.heartbeat import MANY_TEXTS, Heartbeat
from dss_provider.portal import Portal
from support.recorder import ok, recording
from support.waiting import wait_until


class Told(Portal):
    """A portal that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9", "")
        self.lines: list[str] = []
        self.fractions: list[float] = []

    def log(self, ticket: int, level: str, message: str) -> None:
        self.lines.append(message)

    def progress(self, ticket: int, fraction: float) -> None:
        self.fractions.append(fraction)


def test_of_many_texts_the_last_is_told_and_progress_never_goes_back() -> None:
    portal = Told()
    beat = Heartbeat(1, Told, 15)

    for fraction, text in [(0.1, "first"), (0.9, "second"), (0.5, ""), (0.2, "third")]:
        beat.report(fraction, text)
    beat.report_rest(portal)
    beat.report(0.3, "third")
    beat.report_rest(portal)

    assert portal.lines == ["third"]
    assert portal.fractions == [0.9]


def test_after_many_texts_they_are_told_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    portal, now_s = Told(), [0.0]
    monkeypatch.setattr("dss_provider.heartbeat.time.monotonic", lambda: now_s[0])
    beat = Heartbeat(1, Told, 15)

    for number in range(MANY_TEXTS + 900):
        now_s[0] += 1
        beat.report(0.0, f"step {number}")
        beat._tell(portal, seldom=True)

    assert MANY_TEXTS + 20 < len(portal.lines) < MANY_TEXTS + 40


def test_a_page_of_a_proxy_does_not_end_the_claim() -> None:
    status = "GET /api/pro/tickets/1/status"
    with (
        recording({status: ok(b"<html>Sign in to the network.</html>")}) as recorder,
        Heartbeat(1, lambda: Portal(recorder.address, "dss_x"), 0.02) as beat,
    ):
        wait_until(lambda: len(recorder.requests) > 2, 60)
        assert not beat.ended.is_set()

        recorder.answers[status] = ok(b"timeout")
        assert beat.ended.wait(60)
