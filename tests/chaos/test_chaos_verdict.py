"""The judge of a chaos run sees each kind of harm."""

import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from chaos.cases import Case, Kind, Voxels, draw_cases, segmented, signature
from chaos.evidence import CLAIMED, Evidence, Ticket, holds_work, strays
from chaos.faults import Fault
from chaos.report import RECOVERY_S, slow_recoveries
from chaos.stand_in import REFUSAL
from chaos.users import Sent
from chaos.verdict import violations
from dss_inference.worker.recorded_answers import TAKEN_OVER

CLAIM = "0123456789abcdef0123456789abcdef"
OTHER_CLAIM = "f" * 32
GOOD = Case(number=7, kind=Kind.GOOD, work_ms=100)
SENT = Sent(case=GOOD, ticket=1, accepted=True)
HISTORY = [("init", 1.0), ("ready", 2.0), ("claimed", 3.0), ("success", 4.0)]
TICKET = Ticket(
    number=1, status="success", claim_id=CLAIM, history=HISTORY, claims=[(CLAIM, 3.0)], log=["ok"]
)


def evidence_of(ticket: Ticket = TICKET, claim_id: str = CLAIM, case: Case = GOOD) -> Evidence:
    labels: dict[int, Voxels] = {}
    if ticket.status == "success":
        labels[1] = segmented(case.voxels(), claim_id)
    return Evidence(tickets={1: ticket}, labels=labels, outbox=0, queued={}, dead=[], strays=[])


def ended(status: str, *log: str) -> Ticket:
    history = [*HISTORY[:3], (status, 4.0)]
    return replace(TICKET, status=status, history=history, log=list(log))


def test_a_run_without_harm_has_no_violation() -> None:
    assert violations([SENT], evidence_of()) == []


@pytest.mark.parametrize(
    ("rule", "harmed"),
    [
        ("lost", lambda e: replace(e, tickets={}, labels={})),
        (
            "stuck",
            lambda _: evidence_of(replace(ended("ready"), history=[*HISTORY[:3], ("ready", 4.0)])),
        ),
        ("wrong end", lambda _: evidence_of(ended("timeout"))),
        ("history", lambda _: evidence_of(replace(TICKET, history=[*HISTORY, ("success", 5.0)]))),
        ("history", lambda _: evidence_of(replace(TICKET, claims=[]))),
        ("result: that of ticket 1 belongs", lambda _: evidence_of(case=replace(GOOD, number=8))),
        ("result: that of ticket 1 comes", lambda _: evidence_of(claim_id=OTHER_CLAIM)),
        ("remains", lambda e: replace(e, outbox=1)),
        ("remains", lambda e: replace(e, queued={"dss.portal.events": 1})),
        ("remains", lambda e: replace(e, strays=["tickets/00000001/work"])),
        ("lost", lambda e: replace(e, gone=["tickets/00000001/results/a.itksnap"])),
        ("dead letters", lambda e: replace(e, dead=[1])),
        ("remains", lambda e: replace(e, untold=1)),
    ],
)
def test_each_harm_is_seen(rule: str, harmed: Callable[[Evidence], Evidence]) -> None:
    found = violations([SENT], harmed(evidence_of()))

    assert any(sentence.startswith(rule) for sentence in found), found


def test_a_ticket_that_was_never_accepted_may_be_anything() -> None:
    forgotten = replace(TICKET, status="init", history=HISTORY[:1], claims=[])

    assert violations([Sent(case=GOOD, ticket=1)], evidence_of(forgotten)) == []


def test_bad_input_must_fail_with_its_reason() -> None:
    sent = Sent(case=replace(GOOD, kind=Kind.REFUSED), ticket=1, accepted=True)

    assert violations([sent], evidence_of(ended("failed", REFUSAL))) == []
    assert violations([sent], evidence_of(ended("failed", "Something else.")))


def test_what_kills_its_workers_fails_and_leaves_a_dead_letter() -> None:
    sent = Sent(case=replace(GOOD, kind=Kind.DEADLY), ticket=1, accepted=True)
    parked = evidence_of(ended("failed", "The ticket could not be processed."))

    assert violations([sent], replace(parked, dead=[1])) == []
    (found,) = violations([sent], parked)
    assert found.startswith("dead letters: ticket 1")


def test_a_result_is_signed_by_its_claim() -> None:
    assert signature(segmented(GOOD.voxels(), CLAIM)) == CLAIM


def test_a_result_may_be_that_of_an_earlier_claim_if_the_last_one_says_so() -> None:
    log = [f"{CLAIMED} provider a", f"{CLAIMED} provider b", TAKEN_OVER.text]
    claims = [(OTHER_CLAIM, 2.5), (CLAIM, 3.0)]
    history = [*HISTORY[:3], *HISTORY[2:]]
    ticket = replace(TICKET, claims=claims, history=history, log=log)

    assert violations([SENT], evidence_of(ticket, OTHER_CLAIM)) == []
    for spoiled in (
        replace(ticket, log=[log[0], log[2], log[1]]),
        replace(ticket, claims=[("a" * 32, 2.5), (CLAIM, 3.0)]),
    ):
        (found,) = violations([SENT], evidence_of(spoiled, OTHER_CLAIM))
        assert "a claim that it had lost" in found


def test_the_same_seed_draws_the_same_cases() -> None:
    assert draw_cases(50, random.Random(3)) == draw_cases(50, random.Random(3))
    assert {case.kind for case in draw_cases(200, random.Random(3))} == set(Kind)


KILL = Fault(kind="kill a portal", victim="portal-0", began_s=1.0, from_s=1.0)


@pytest.mark.parametrize(
    ("fault", "slow"),
    [
        (replace(KILL, recovery_s=RECOVERY_S), False),
        (replace(KILL, recovery_s=RECOVERY_S + 0.1), True),
        (replace(KILL, recovery_s=RECOVERY_S + 0.1, alone=False), False),
        (replace(KILL, recovery_s=math.inf, alone=False), True),
        (replace(KILL, kind="freeze a portal", recovery_s=RECOVERY_S + 0.1), False),
        (replace(KILL, kind="freeze a portal", recovery_s=math.inf), True),
        (KILL, False),
    ],
)
def test_a_recovery_that_took_too_long_is_seen(fault: Fault, *, slow: bool) -> None:
    assert bool(slow_recoveries([fault])) is slow


def test_a_fault_upon_another_is_no_single_kill() -> None:
    assert KILL.single_kill
    assert not replace(KILL, alone=False).single_kill
    assert not replace(KILL, kind="kill portals while RabbitMQ is away").single_kill


@pytest.mark.parametrize(
    ("status", "place", "stray"),
    [
        ("success", "tickets/00000001/attempts/a/seg.nii.gz", ""),
        (
            "success",
            "tickets/00000001/attempts/b/seg.nii.gz",
            "tickets/00000001/attempts/b/seg.nii.gz",
        ),
        ("success", "tickets/00000001/results/seg.nii.gz", ""),
        ("success", "tickets/00000001/results/", ""),
        ("success", "tickets/00000001/input/scan.nii.gz", ""),
        ("success", "tickets/00000001/input/other", "tickets/00000001/input/other"),
        ("success", "tickets/00000001/results/other", "tickets/00000001/results/other"),
        ("success", "tickets/00000001/work/", "tickets/00000001/work"),
        ("success", "tickets/00000001/work/claim/.made", "tickets/00000001/work"),
        ("deleted", "tickets/00000001/input/scan.nii.gz", "tickets/00000001"),
        ("ready", "tickets/00000001/input/scan.nii.gz", ""),
        ("ready", "tickets/00000001/input/.a.part/0-9", "tickets/00000001/input/.a.part/0-9"),
        ("success", "attachments/00000002/log.txt", "attachments/00000002"),
    ],
)
def test_what_belongs_to_nothing_is_a_stray(status: str, place: str, stray: str) -> None:
    shown = "tickets/00000001/attempts/a/seg.nii.gz"
    links = {f"tickets/00000001/{place}" for place in ("input/scan.nii.gz", "results/seg.nii.gz")}
    ticket = replace(TICKET, status=status, files={shown}, links=links)

    assert strays({place}, {1: ticket}) == ([stray] if stray else [])


@pytest.mark.parametrize(
    ("name", "consumers", "counts"),
    [
        ("dss.dispatch.chaos", 0, True),
        ("dss.dead", 0, False),
        ("dss.deaths.dispatch.a.begun", 0, False),
        ("dss.replies.dispatch.dispatch-0.a", 1, True),
        ("dss.replies.dispatch.dispatch-0.a", 0, False),
    ],
)
def test_what_a_killed_program_leaves_to_expire_is_no_work(
    name: str, consumers: int, counts: bool
) -> None:
    assert holds_work({"name": name, "consumers": consumers}) is counts
