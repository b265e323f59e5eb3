"""What a run has to say for itself, as a table."""

from collections import Counter
from statistics import median

from chaos.evidence import Evidence
from chaos.faults import Fault
from chaos.notices import LATE_S, repeated, share_late
from chaos.recovery import LONGEST_RECOVERY_S
from chaos.run import Outcome
from chaos.verdict import is_taken_over

RECOVERY_S = 15.0
"""After a single kill, work goes on within this time."""


def table(outcome: Outcome) -> str:
    evidence = outcome.evidence
    assert evidence is not None
    return "\n".join(
        [
            f"seed {outcome.plan.seed}, {outcome.seconds:.0f} s",
            "",
            *_faults(outcome.faults),
            "",
            *_tickets(outcome, evidence),
            *[f"ended by itself: {name} x {n}" for name, n in Counter(outcome.fell).items()],
            "",
            f"violations: {len(outcome.violations)}",
            *outcome.violations[:50],
        ]
    )


def _faults(faults: list[Fault]) -> list[str]:
    alone = [fault for fault in faults if fault.alone]
    kinds = dict.fromkeys(fault.kind for fault in faults)
    return [
        f"{'fault':38}{'times':>6}{'recovery: median':>18}{'worst':>9}",
        *[_row(kind, [fault for fault in alone if fault.kind == kind]) for kind in kinds],
        _row("any, before recovery from another", [fault for fault in faults if not fault.alone]),
    ]


def _row(name: str, faults: list[Fault]) -> str:
    seconds = [f.recovery_s for f in faults if f.recovery_s is not None]
    known = f"{median(seconds):16.1f} s{max(seconds):7.1f} s" if seconds else ""
    return f"{name:38}{len(faults):6}{known}"


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
        f"  inferences that outlived their claim: {sum(map(is_taken_over, evidence.tickets.values()))}",
        f"dead letters: {len(evidence.dead)}",
        _notifications(evidence),
    ]


def _notifications(evidence: Evidence) -> str:
    got, late = evidence.deliveries, share_late(evidence.tickets.values(), evidence.deliveries)
    return f"notifications: {len(got)}, of which {repeated(got)} came again; {late:.1%} later than {LATE_S:.0f} s"


def slow_recoveries(faults: list[Fault]) -> list[str]:
    """A sentence for each fault after which work went on too late, or was not seen to go on."""
    return [
        f"recovery: {fault.kind} ({fault.victim}) took {fault.recovery_s:.1f} s"
        for fault in faults
        if (fault.recovery_s or 0.0) > (RECOVERY_S if fault.single_kill else LONGEST_RECOVERY_S)
    ]
