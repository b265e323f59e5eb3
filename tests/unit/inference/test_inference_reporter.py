"""Progress replies: not too many, and never silence."""

import threading
import time

import pytest

from dss_inference.worker.progress_replies import ProgressReplies

Sent = list[tuple[float, str]]


def test_a_quiet_stage_gives_signs_of_life() -> None:
    repeated = threading.Semaphore(0)

    with ProgressReplies(lambda *_: repeated.release(), shortest_gap_s=0.005, longest_gap_s=0.01):
        assert all(repeated.acquire(timeout=10) for _ in range(3))


def test_a_flood_of_progress_is_thinned_out() -> None:
    sent: Sent = []

    with ProgressReplies(lambda f, s: sent.append((f, s)), shortest_gap_s=0.05) as progress:
        ends = time.monotonic() + 0.2
        while time.monotonic() < ends:
            progress(time.monotonic(), "copying")

    assert len(sent) <= 6


def test_nothing_is_sent_after_the_end() -> None:
    sent: Sent = []
    with ProgressReplies(lambda f, s: sent.append((f, s)), shortest_gap_s=0.005) as progress:
        pass
    before = list(sent)

    progress(0.5, "late")

    assert sent == before
    assert not [t for t in threading.enumerate() if t.name == "progress"]


def test_an_error_goes_through_and_ends_the_signs_of_life() -> None:
    with pytest.raises(ValueError, match="surprise"), ProgressReplies(lambda *_: None):
        raise ValueError("surprise")

    assert not [t for t in threading.enumerate() if t.name == "progress"]
