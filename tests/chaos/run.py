"""One chaos run: users send, faults strike, and when all is quiet again the evidence is judged."""

import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from chaos import notices, recovery
from chaos.cases import Kind, draw_cases
from chaos.evidence import Evidence, gather, open_tickets
from chaos.faults import KINDS, OF_DATASTORES, OUTAGES, Fault, inject, schedule
from chaos.site import LEASE_S, Site
from chaos.told import receivers
from chaos.users import STEP_TIMEOUT_S, Sent, User, signed_in
from chaos.verdict import violations

SETTLE_S = 90.0
"""After the last fault, a minute and a half without any ticket coming to its end means that they are stuck."""

QUIET_S = 160.0
"""What is left in queues and folders after so long is left for good: the longest retry takes 120 s."""

AT_ONCE = 0.2
"""So many faults of one are followed by the next while the site still suffers."""

_YOUNG_S = 8.0
"""RabbitMQ 3.10 can lose the leader of a quorum queue that was declared seconds before a crash."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """At most ``tickets`` are sent, and none after the last fault if the plan ``ends_with_faults``.

    ``open_each`` tickets of a user wait or are worked on at a time; ``pace_s`` is the mean time between two.

    Users withdraw some of their tickets if ``withdrawn``.

    ``pause_s`` is the mean time from recovery to the next fault; a few do not wait for recovery.
    If ``outage_s`` is not 0, the run begins with an outage of that length of each of OUTAGES.

    With ``recovers_fully`` False, a fault is over when something new is done.  The run ends early when one of the
    rules ``ends_at`` is seen to be broken; these must be rules that stay broken.
    """

    seed: int = 1
    users: int = 20
    tickets: int = 500
    open_each: int = 2
    pace_s: float = 0.0
    faults: int = 40
    pause_s: float = 3.0
    outage_s: float = 0.0
    ends_with_faults: bool = False
    recovers_fully: bool = True
    ends_at: tuple[str, ...] = ()
    kinds: tuple[str, ...] = tuple(KINDS)
    sabotage: str = ""
    withdrawn: bool = True
    in_bucket: bool = False
    lease_s: float = LEASE_S
    settle_s: float = SETTLE_S
    quiet_s: float = QUIET_S


@dataclass(kw_only=True)
class Outcome:
    """``violations`` are sentences; a run without any has passed."""

    plan: Plan
    faults: list[Fault] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    evidence: Evidence | None = None
    violations: list[str] = field(default_factory=list)
    fell: list[str] = field(default_factory=list)
    seconds: float = 0.0


Tell = Callable[[str], None]


def run(plan: Plan, folder: Path, sysroot: Path | None, tell: Tell) -> Outcome:
    """Takes the plan's faults and what it takes to settle.  ``folder`` is empty."""
    outcome = Outcome(plan=plan)
    began_s = time.monotonic()
    with _site(plan, folder, sysroot) as site:
        tell("The site is up; users begin.")
        enough = threading.Event()
        users = _users(plan, site, folder, enough)
        with _at_work(users):
            time.sleep(_YOUNG_S)
            outcome.faults = _strike(plan, site, users, tell)
            if plan.ends_with_faults:
                enough.set()
            if not _broken(plan, site, users):
                tell("No more faults; waiting for the last tickets.")
                settle(site, users, plan.settle_s)
            evidence = judged(outcome, site, users)
        outcome.violations += notices.violations(
            evidence.tickets.values(), evidence.deliveries, outcome.faults, site.given_up()
        )
    outcome.seconds = time.monotonic() - began_s
    return outcome


@contextmanager
def _at_work(users: list[User]) -> Iterator[None]:
    """They have left before their site is stopped, and ask nothing of what takes its ports next."""
    for user in users:
        user.start()
    try:
        yield
    finally:
        for user in users:
            user.leave()
        for user in users:
            user.join()


def judged(outcome: Outcome, site: Site, users: list[User]) -> Evidence:
    """Fill ``outcome`` with the evidence, which is returned, and with what is wrong in it but notifications."""
    outcome.evidence = _when_quiet(site, outcome.plan.quiet_s)
    outcome.sent = [sent for user in users for sent in user.sent]
    outcome.violations = violations(outcome.sent, outcome.evidence)
    outcome.violations += [f"user: gave up: {u.complaint}" for u in users if u.complaint]
    outcome.fell = site.fell
    return outcome.evidence


@contextmanager
def _site(plan: Plan, folder: Path, sysroot: Path | None) -> Iterator[Site]:
    with receivers(plan.seed) as listening:
        site = Site(
            folder=folder,
            receivers=listening,
            sysroot=sysroot,
            sabotage=plan.sabotage,
            lease_s=plan.lease_s,
            outage_s=plan.outage_s,
            tickets=plan.tickets,
            in_bucket=plan.in_bucket,
        )
        try:
            site.start()
            yield site
        finally:
            site.stop()


def _users(plan: Plan, site: Site, folder: Path, enough: threading.Event) -> list[User]:
    cases = draw_cases(plan.tickets, random.Random(plan.seed), withdrawn=plan.withdrawn)
    portals = signed_in(site.postgres.database_url, site.portals, plan.users, site.receivers)
    return [
        User(
            own,
            cases[n :: plan.users],
            folder / "cases",
            open_each=plan.open_each,
            pace_s=plan.pace_s,
            step_timeout_s=STEP_TIMEOUT_S + plan.outage_s,
            enough=enough,
        )
        for n, own in enumerate(portals)
    ]


def _strike(plan: Plan, site: Site, users: list[User], tell: Tell) -> list[Fault]:
    """Faults one after the other; ends early when there is nothing left to be hurt."""
    rng = random.Random(plan.seed)
    absent = OF_DATASTORES - site.store.faults
    kinds = [kind for kind in plan.kinds if kind not in absent]
    struck: list[Fault] = []
    outages = OUTAGES if plan.outage_s else ()
    for kind in [*outages, *schedule(plan.faults, rng, kinds)]:
        if not any(user.is_alive() for user in users):
            break
        alone = not struck or struck[-1].recovered
        fault = replace(inject(site, kind, rng), alone=alone)
        struck.append(_seen_through(plan, site, fault, users, rng))
        tell(f"{len(struck):4} {_line(struck[-1])}")
        if _broken(plan, site, users):
            break
        time.sleep(rng.uniform(0.5, 1.5) * plan.pause_s)
    return struck


def _broken(plan: Plan, site: Site, users: list[User]) -> bool:
    """Whether a rule that ends the run is seen to be broken by now."""
    if not plan.ends_at:
        return False
    try:
        evidence = gather(site)
    except FileNotFoundError:  # a result whose user has just deleted the ticket
        return False
    found = violations([sent for user in users for sent in user.sent], evidence)
    return any(sentence.startswith(plan.ends_at) for sentence in found)


def _seen_through(
    plan: Plan, site: Site, fault: Fault, users: list[User], rng: random.Random
) -> Fault:
    """With its recovery, unless the next one is to strike before that or nothing is left to be done."""
    if rng.random() < AT_ONCE:
        return fault
    deadly = [s.ticket for user in users for s in user.sent if s.case.kind is Kind.DEADLY]
    recovery_s = recovery.wait_for(site, fault, deadly, fully=plan.recovers_fully)
    if math.isinf(recovery_s) and not any(user.has_more for user in users):
        return fault  # nothing new could come
    return replace(fault, recovery_s=recovery_s)


def _line(fault: Fault) -> str:
    after = "" if fault.recovery_s is None else f", recovered after {fault.recovery_s:.1f} s"
    on_top = "" if fault.alone else ", on top of that"
    return f"{fault.kind}: {fault.victim}{on_top}{after}"


def settle(site: Site, users: list[User], timeout_s: float) -> None:
    """Return when all users are through, or when nothing happens any more."""
    left, since_s = -1, time.monotonic()
    while any(user.is_alive() for user in users) or open_tickets(site):
        now_left = open_tickets(site) + sum(not sent.ticket for u in users for sent in u.sent)
        if now_left != left:
            left, since_s = now_left, time.monotonic()
        if time.monotonic() - since_s > timeout_s:
            return
        time.sleep(1)


def _when_quiet(site: Site, timeout_s: float) -> Evidence:
    """Once no message and no stray file is left, or when it is too late for that."""
    ends_s = time.monotonic() + timeout_s
    while True:
        time.sleep(2)  # RabbitMQ counts its queues once a second
        found = gather(site)
        if (
            not (found.outbox or found.untold or found.queued or found.strays)
            or time.monotonic() > ends_s
        ):
            return found
