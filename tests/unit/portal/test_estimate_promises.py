"""When the log of a ticket states its expected end anew."""

from datetime import UTC, datetime

import pytest

from dss_portal.estimates.durations import Run, TicketSize
from dss_portal.estimates.forecast import Running, Site, Worker, forecasts
from dss_portal.estimates.reading import SiteSnapshot
from dss_portal.estimates.ticket_logs import promises

LUNGS = "lungs"
SIZE = TicketSize(voxels=20_000_000, size_bytes=10_000_000)
NUMBER = 7


def _snapshot(now_s: float, promised: datetime | None) -> SiteSnapshot:
    """One ticket at work since 0 s, on a device that took 30 s for each earlier one."""
    runs = [Run(service=LUNGS, size=SIZE, device="gpu", seconds=30.0, ended_s=-1.0)] * 5
    running = Running(ticket_id=NUMBER, service=LUNGS, size=SIZE, began_s=0.0, progress=0.0)
    workers = [Worker(device="gpu", services=frozenset({LUNGS}))]
    site = Site(now_s=now_s, workers=workers, running=[running], waiting={}, runs=runs)
    return SiteSnapshot(
        site=site, availability={}, places={}, promised={NUMBER: promised}, is_cut=False
    )


def _told(until_s: int) -> list[float]:
    """The seconds at which the log got a line, if it is looked at every 3 s."""
    promised: datetime | None = None
    told = []
    for now_s in range(0, until_s, 3):
        snapshot = _snapshot(float(now_s), promised)
        for promise in promises(snapshot, forecasts(snapshot.site)):
            promised = promise.at
            told.append(float(now_s))
    return told


@pytest.mark.slow
def test_a_run_that_hangs_for_a_day_does_not_fill_the_log() -> None:
    told = _told(24 * 3600)

    assert 5 < len(told) < 30
    assert told[-1] > 12 * 3600


def test_a_run_that_takes_a_little_longer_is_corrected_within_two_minutes() -> None:
    told = _told(300)

    assert told[0] == 0.0
    assert told[1] < 120


def test_an_end_that_is_not_yet_past_is_not_stated_again() -> None:
    promised = datetime.fromtimestamp(40.0, UTC)

    assert promises(_snapshot(10.0, promised), forecasts(_snapshot(10.0, promised).site)) == []
