"""The simulated days that the estimates are judged by are what they are said to be."""

import statistics

from support.simulated_days import SERVICES, Day, Outcome


def _day(seed: int) -> list[Outcome]:
    return Day(seed, lambda _known, _ticket: None).pass_by()


def test_every_ticket_of_a_day_ends_and_the_same_seed_gives_the_same_day() -> None:
    outcomes = _day(1)

    assert all(outcome.total_s > 0 for outcome in outcomes)
    assert [o.total_s for o in outcomes] == [o.total_s for o in _day(1)]
    assert [o.total_s for o in outcomes] != [o.total_s for o in _day(2)]


def test_a_day_has_both_services_and_tickets_that_wait_longer_than_they_run() -> None:
    outcomes = _day(1)
    waits = [o.ticket.started_s - o.ticket.came_s for o in outcomes]

    assert {o.ticket.service for o in outcomes} == set(SERVICES)
    assert 300 < len(outcomes) < 900
    assert sum(w > 60 for w in waits) > len(waits) / 5
    assert statistics.median(waits) < 600
