"""What a run has to say for itself, as a table."""

from collections import Counter
from statistics import median

from chaos.evidence import Evidence, Ticket
from chaos.faults import SINGLE_KILLS, Fault
from chaos.run import Outcome

RECOVERY_S = 15.0
"""After a single kill, work goes on within this time."""


def table(outcome: Outcome) -> str:
    evidence = outcome.evidence
    assert evidence is not None
    return "\n".join(
        [
            f"seed {outcome.plan.seed}, {outcome.seconds:.0f} s",
            "",
            *_faults(outcome.faults, evidence),
            "",
            *_tickets(outcome, evidence),
            *[f"ended by itself: {name} x {n}" for name, n in Counter(outcome.fell).items()],
            "",
            f"violations: {len(outcome.violations)}",
            *outcome.violations[:50],
        ]
    )


def _faults(faults: list[Fault], evidence: Evidence) -> list[str]:
    lines = [f"{'fault':38}{'times':>6}{'recovery: median':>18}{'worst':>9}"]
    took = recoveries(faults, evidence)
    for kind in dict.fromkeys(fault.kind for fault in faults):
        times = sum(fault.kind == kind for fault in faults)
        seconds = [s for fault, s in took if fault.kind == kind]
        known = f"{median(seconds):16.1f} s{max(seconds):7.1f} s" if seconds else ""
        lines.append(f"{kind:38}{times:6}{known}")
    return lines


def _tickets(outcome: Outcome, evidence: Evidence) -> list[str]:
    accepted = [sent for sent in outcome.sent if sent.accepted]
    ends = Counter(
        evidence.tickets[s.ticket].status for s in accepted if s.ticket in evidence.tickets
    )
    claims = [
        len(evidence.tickets[s.ticket].claims) for s in accepted if s.ticket in evidence.tickets
    ]
    return [
        f"tickets accepted: {len(accepted)} of {len(outcome.sent)} from {outcome.plan.users} users",
        f"  ended as: {', '.join(f'{n} {status}' for status, n in sorted(ends.items()))}",
        f"  claims: {sum(claims)} in all, at most {max(claims, default=0)} for one",
        f"dead letters: {evidence.dead}",
    ]


def slow_kills(faults: list[Fault], evidence: Evidence) -> list[str]:
    """A sentence for each single kill after which work went on too late."""
    return [
        f"recovery: {fault.kind} ({fault.victim}) took {seconds:.1f} s"
        for fault, seconds in recoveries(faults, evidence)
        if fault.kind in SINGLE_KILLS and seconds > RECOVERY_S
    ]


def recoveries(faults: list[Fault], evidence: Evidence) -> list[tuple[Fault, float]]:
    """Seconds from each fault until a ticket claimed after it was done, and until all were done or
    claimed anew that were in hand when it struck.  Faults that the next one overtook are left out.
    """
    tickets = list(evidence.tickets.values())
    nexts = [fault.began_s for fault in faults[1:]] + [float("inf")]
    found = []
    for fault, next_s in zip(faults, nexts, strict=False):
        ends_s = [*_first_done(fault, tickets), *_in_hand(fault, tickets)]
        if ends_s and max(ends_s) < next_s:
            found.append((fault, max(0.0, max(ends_s) - fault.from_s)))
    return found


def _first_done(fault: Fault, tickets: list[Ticket]) -> list[float]:
    """When the first ticket was done that was claimed after the fault."""
    done = [
        ticket.ended_s
        for ticket in tickets
        if ticket.status == "success" and ticket.ended_s and ticket.claims[-1][1] > fault.from_s
    ]
    return [min(done)] if done else [float("inf")]


def _in_hand(fault: Fault, tickets: list[Ticket]) -> list[float]:
    """When something went on with each ticket that was in hand when the fault struck."""
    found = []
    for ticket in tickets:
        if ticket.status != "success":
            continue
        before = [status for status, at in ticket.history if at <= fault.began_s]
        if before and before[-1] == "claimed":
            found.append(min(at for _, at in ticket.history if at > fault.began_s))
    return found
