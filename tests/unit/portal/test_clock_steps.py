"""A step of a machine's clock, by NTP or an operator, moves no time of the site."""

from datetime import UTC, datetime, timedelta, tzinfo

import pytest

from dss_portal.database import clock


@pytest.mark.parametrize("hours", [1, -1])
def test_a_step_of_the_machines_clock_makes_nothing_due(
    monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    class Stepped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # the base class returns Self
            return datetime.now(tz) + timedelta(hours=hours)

    before = clock.now()
    monkeypatch.setattr(clock, "datetime", Stepped)
    assert abs(Stepped.now(UTC) - before) > timedelta(minutes=50)

    assert timedelta() <= clock.now() - before < timedelta(minutes=10)
