"""Estimates of time: three simulated days, replayed in time order, and the cases that one can count on one's fingers."""

from dataclasses import replace
from typing import Any

import pytest

from dss_portal.estimates.durations import DurationPredictor, Run, TicketSize, fit
from dss_portal.estimates.forecast import Running, Site, Waiting, Worker, forecasts
from support.simulated_days import Day, Known, Outcome, SimulatedTicket

LUNGS = "lungs"


def _size(voxels: int) -> TicketSize:
    return TicketSize(voxels=voxels, size_bytes=voxels // 2)


def _estimate(known: Known, ticket: SimulatedTicket) -> float | None:
    found = forecasts(
        Site(
            now_s=known.now_s,
            workers=[Worker(device=device, services=served) for device, served in known.workers],
            running=[
                Running(
                    ticket_id=each.number,
                    service=each.service,
                    size=_size(each.voxels),
                    began_s=each.started_s,
                    progress=each.progress(known.now_s),
                )
                for each in known.running
            ],
            waiting={
                service: [
                    Waiting(
                        ticket_id=each.number,
                        service=service,
                        size=_size(each.voxels),
                        came_s=each.came_s,
                    )
                    for each in queue
                ]
                for service, queue in known.waiting.items()
            },
            runs=[
                Run(
                    service=run.service,
                    size=_size(run.voxels),
                    device=run.device,
                    seconds=run.seconds,
                    ended_s=run.ended_s,
                )
                for run in known.runs[-400:]
            ],
        )
    )
    return found[ticket.number].ends_s if ticket.number in found else None


def _is_right(outcome: Outcome) -> bool:
    assert outcome.told_s is not None
    wrong_s = abs(outcome.told_s - outcome.total_s)
    return wrong_s <= max(0.3 * outcome.total_s, 10.0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_four_of_five_estimates_of_a_simulated_day_are_right(seed: int) -> None:
    outcomes = Day(seed, _estimate).pass_by()

    told = [outcome for outcome in outcomes if outcome.told_s is not None]
    assert len(told) >= 0.9 * len(outcomes)
    assert sum(map(_is_right, told)) >= 0.8 * len(told)


def _run(voxels: int, seconds: float, *, device: str = "gpu", ended_s: float = 0.0) -> Run:
    return Run(service=LUNGS, size=_size(voxels), device=device, seconds=seconds, ended_s=ended_s)


RUNS = [_run(n * 10_000_000, 10.0 + 10.0 * n) for n in (1, 2, 3, 4, 5)]


def _waiting(number: int, voxels: int = 20_000_000) -> Waiting:
    return Waiting(ticket_id=number, service=LUNGS, size=_size(voxels), came_s=float(number))


def _site(*, workers: int = 1, running: list[Running] | None = None, waiting: int = 0) -> Site:
    return Site(
        now_s=1000.0,
        workers=[Worker(device="gpu", services=frozenset({LUNGS}))] * workers,
        running=running or [],
        waiting={LUNGS: [_waiting(number) for number in range(1, waiting + 1)]},
        runs=RUNS,
    )


def test_a_run_takes_a_time_for_any_image_and_one_for_each_voxel() -> None:
    assert DurationPredictor(RUNS).seconds(_size(25_000_000)) == pytest.approx(35.0)
    assert DurationPredictor(RUNS).seconds(_size(100_000_000)) == pytest.approx(110.0)


def test_where_voxels_are_not_known_bytes_tell() -> None:
    assert DurationPredictor(RUNS).seconds(
        TicketSize(voxels=None, size_bytes=12_500_000)
    ) == pytest.approx(35.0)


def test_one_odd_run_does_not_count() -> None:
    odd = [*RUNS, _run(30_000_000, 400.0), *RUNS]

    assert DurationPredictor(odd).seconds(_size(25_000_000)) == pytest.approx(35.0, rel=0.05)


def test_few_runs_tell_of_images_of_their_own_size_only() -> None:
    assert DurationPredictor(RUNS[:1]).seconds(_size(20_000_000)) == pytest.approx(20.0 * 2**0.5)
    assert DurationPredictor(RUNS[:1]).seconds(_size(200_000_000)) is None
    assert DurationPredictor([]).seconds(_size(20_000_000)) is None


def test_runs_of_one_size_make_a_line_without_a_slope() -> None:
    line = fit([(1e7, 20.0)] * 5)

    assert (line.each_s, line.rate_s) == pytest.approx((20.0, 0.0))


def test_a_line_through_runs_that_differ_much_is_not_too_low() -> None:
    """On a device that others use, too."""
    line = fit([(1e7, 20.0), (1e7, 40.0)] * 20)

    assert line.at(1e7) == pytest.approx(30.0, rel=0.02)


def test_tickets_wait_for_those_before_them() -> None:
    found = forecasts(_site(waiting=3))

    assert [found[n].begins_s for n in (1, 2, 3)] == pytest.approx([0.0, 30.0, 60.0])
    assert [found[n].ends_s for n in (1, 2, 3)] == pytest.approx([30.0, 60.0, 90.0])


def test_two_workers_share_the_queue() -> None:
    found = forecasts(_site(workers=2, waiting=3))

    assert [found[n].ends_s for n in (1, 2, 3)] == pytest.approx([30.0, 30.0, 60.0])


def test_nobody_serves_it_and_no_past_run_are_unknown() -> None:
    assert forecasts(_site(workers=0, waiting=1)) == {}
    site = _site(waiting=1)
    assert forecasts(Site(**{**vars(site), "runs": []})) == {}


def test_progress_corrects_what_past_runs_say() -> None:
    slow = Running(ticket_id=9, service=LUNGS, size=_size(20_000_000), began_s=970.0, progress=0.5)

    (found,) = forecasts(_site(running=[slow])).values()

    assert found.ends_s == pytest.approx((30.0 * 60.0) ** 0.5 - 30.0)


def test_a_run_that_takes_longer_than_expected_is_never_over() -> None:
    late = Running(ticket_id=9, service=LUNGS, size=_size(20_000_000), began_s=0.0, progress=0.0)

    assert forecasts(_site(running=[late]))[9].ends_s > 0


def test_a_claimed_ticket_without_a_free_worker_waits_at_the_head() -> None:
    held = [
        Running(ticket_id=n, service=LUNGS, size=_size(20_000_000), began_s=990.0 + n, progress=0.0)
        for n in (7, 8)
    ]

    found = forecasts(_site(running=held, waiting=1))

    assert found[7].ends_s < found[8].ends_s < found[1].ends_s


def test_the_ticket_that_a_worker_began_is_at_work_before_one_that_was_only_claimed() -> None:
    """9 was claimed 70 s ago and began when another ended 10 s ago; 10 was claimed 20 s ago and waits."""
    claimed = [
        Running(ticket_id=9, service=LUNGS, size=_size(20_000_000), began_s=930.0, progress=0.0),
        Running(ticket_id=10, service=LUNGS, size=_size(20_000_000), began_s=980.0, progress=0.0),
    ]
    runs = [*RUNS, _run(60_000_000, 70.0, ended_s=990.0)]

    found = forecasts(replace(_site(running=claimed), runs=runs))

    assert [found[n].ends_s for n in (9, 10)] == pytest.approx([20.0, 50.0])


def _two_services(**changes: Any) -> Site:
    """One worker for both, which has worked for 10 s on ticket 1; 2 and 3 wait for the same service."""
    other = [replace(run, service="nodules") for run in RUNS]
    return replace(
        _site(),
        workers=[Worker(device="gpu", services=frozenset({LUNGS, "nodules"}))],
        running=[
            Running(ticket_id=1, service=LUNGS, size=_size(20_000_000), began_s=990.0, progress=0.0)
        ],
        waiting={
            LUNGS: [replace(_waiting(n), came_s=995.0) for n in (2, 3)],
            "nodules": [replace(_waiting(4), service="nodules", came_s=999.0)],
        },
        runs=[*RUNS, *other],
        **changes,
    )


def test_a_shared_worker_takes_tickets_in_the_order_of_their_claims() -> None:
    """Nobody may claim 3 before 1 has ended; 4 is claimed at once."""
    found = forecasts(_two_services(most_claims={LUNGS: 2, "nodules": 2}))

    assert [found[n].ends_s for n in (2, 4, 3)] == pytest.approx([50.0, 80.0, 110.0])


def test_a_shared_worker_takes_tickets_as_they_came_if_nobody_states_how_many_are_claimed() -> None:
    found = forecasts(_two_services())

    assert [found[n].ends_s for n in (2, 3, 4)] == pytest.approx([50.0, 80.0, 110.0])


def test_workers_that_nobody_claims_tickets_for_stay_idle() -> None:
    found = forecasts(replace(_site(workers=3, waiting=3), most_claims={LUNGS: 1}))

    assert [found[n].ends_s for n in (1, 2, 3)] == pytest.approx([30.0, 60.0, 90.0])


def test_a_ticket_that_was_claimed_while_all_were_busy_began_when_one_was_free() -> None:
    """Claimed 30 s ago, when the only worker was busy until 10 s ago."""
    site = _site(
        running=[
            Running(ticket_id=9, service=LUNGS, size=_size(20_000_000), began_s=970.0, progress=0.0)
        ]
    )
    runs = [*RUNS, _run(20_000_000, 30.0, ended_s=990.0)]

    found = forecasts(Site(**{**vars(site), "runs": runs}))

    assert found[9].ends_s == pytest.approx(20.0)


def test_of_a_worker_whose_device_is_unknown_every_run_tells() -> None:
    site = _site(waiting=1)
    worker = Worker(device="", services=frozenset({LUNGS}))

    assert forecasts(Site(**{**vars(site), "workers": [worker]}))[1].ends_s == pytest.approx(30.0)


@pytest.mark.parametrize("runs", [1, 0])
def test_a_ticket_of_which_little_is_known_does_not_hide_those_behind_it(runs: int) -> None:
    """Its size is far from all known ones, or its service has never run on that device."""
    other = "gpu" if runs else "cpu"
    known = Run(service="new", size=_size(1_000_000), device=other, seconds=5.0, ended_s=0.0)
    first = Waiting(ticket_id=1, service="new", size=_size(25_000_000), came_s=1.0)
    worker = Worker(device="gpu", services=frozenset({LUNGS, "new"}))
    site = Site(
        now_s=1000.0,
        workers=[worker],
        running=[],
        waiting={LUNGS: [_waiting(2)], "new": [first]},
        runs=[*RUNS, known],
    )

    found = forecasts(site)

    assert found.keys() == {2}
    assert found[2].begins_s == pytest.approx(25.0)
    assert found[2].ends_s == pytest.approx(55.0)
