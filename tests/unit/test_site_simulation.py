"""The simulation of a site obeys what is known of queues, and agrees with the real runs whose costs it takes."""

import json
from dataclasses import replace

import pytest

from bench.bench_site import COSTS, PAGE, compared, page_with
from support.site_simulation import Batch, Load, tickets_per_s, wait_p95_ms

CPU_MS = {"portal": 40.0, "dispatch": 10.0, "worker": 5.0, "rabbit": 10.0, "postgres": 15.0}
MOST_OFF = 0.15


def test_one_core_is_used_by_nothing_but_the_tickets() -> None:
    batch = Batch(cpu_ms={**CPU_MS, "sender": 20.0}, cores=1.0, programs=2, tickets=300, senders=8)

    assert tickets_per_s(batch) == pytest.approx(10.0, rel=0.1)


def test_many_cores_are_as_fast_as_the_busiest_program() -> None:
    batch = Batch(cpu_ms={**CPU_MS, "sender": 1.0}, cores=32.0, programs=8, tickets=300, senders=8)

    assert tickets_per_s(batch) == pytest.approx(25.0, rel=0.15)


def test_a_poll_waits_as_long_as_in_a_queue_with_constant_service() -> None:
    """M/D/1 at half load: the wait has a mean of half a service time, and a p95 of some two."""
    load = Load(per_s={"polls": 50.0}, ms={"polls": 10.0})

    assert load.utilisation == 0.5
    assert wait_p95_ms(load, 200.0) == pytest.approx(28.0, rel=0.15)


def test_the_simulation_agrees_with_two_real_runs() -> None:
    runs = list(compared(json.loads(COSTS.read_text(encoding="utf-8"))))

    assert len(runs) == 2
    for _, real, simulated in runs:
        assert simulated == pytest.approx(real, rel=MOST_OFF)


def test_the_documentation_has_the_figures_of_the_simulation() -> None:
    text = PAGE.read_text(encoding="utf-8")

    assert page_with(text, json.loads(COSTS.read_text(encoding="utf-8"))) == text


def test_senders_do_not_wait_for_each_other() -> None:
    """One waits for each answer; of eight, others send meanwhile, until the portal is the limit."""
    cpu_ms = {**CPU_MS, "sender": 30.0}
    one = Batch(cpu_ms=cpu_ms, cores=32.0, programs=8, tickets=300, senders=1)

    assert tickets_per_s(one) < 20
    assert tickets_per_s(replace(one, senders=8)) == pytest.approx(25.0, rel=0.1)
