"""Estimates as people read them."""

from datetime import UTC, datetime

import pytest

from dss_portal.estimates import words
from dss_portal.estimates.forecast import Forecast


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "a few seconds"),
        (7.9, "a few seconds"),
        (8, "about 10 s"),
        (42, "about 40 s"),
        (54, "about 55 s"),
        (58, "about 60 s"),
        (118, "about 2 min"),
        (1000, "about 17 min"),
        (5900, "about 98 min"),
        (7200, "about 2 h"),
        (7800, "about 2 h 10 min"),
        (10_790, "about 3 h"),
    ],
)
def test_an_estimate_is_told_no_more_exactly_than_it_is(seconds: float, text: str) -> None:
    assert words.about(seconds) == text


def test_a_ticket_at_work_and_one_that_waits_are_told_apart() -> None:
    assert words.left(Forecast(begins_s=0, ends_s=5)) == "A few seconds left."
    waits = Forecast(begins_s=300, ends_s=340)
    assert words.left(waits) == "Done in about 6 min; a worker begins it in about 5 min."


@pytest.mark.parametrize(
    ("ahead", "again", "line"),
    [
        (0, False, "Expected to be done in about 3 min, at 10:24 UTC."),
        (1, False, "Expected to be done in about 3 min, at 10:24 UTC; 1 ticket is before it."),
        (2, True, "Now expected to be done in about 3 min, at 10:24 UTC; 2 tickets are before it."),
    ],
)
def test_a_line_of_the_log_has_the_time_of_the_day(ahead: int, again: bool, line: str) -> None:
    at = datetime(2026, 11, 29, 10, 24, 30, tzinfo=UTC)

    assert words.promise(180, at, ahead, again=again) == line
