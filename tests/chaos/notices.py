"""Whether each end of a ticket was told by each channel, in time, and again only if an answer was lost.  Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from chaos.evidence import Ticket
from chaos.faults import Fault
from chaos.told import Delivery

KINDS = ("mail", "webhook", "ntfy")
TOLD = frozenset({"success", "failed", "timeout"})
"""Ends that users are told of; one who deletes a ticket knows of it."""
LATE_S, MOST_LATE = 5.0, 0.01
READ_S = 10.0
"""A portal on a busy machine has read an answer, and noted it, so long after it was sent.  An answer that is not noted
before a fault is lost.
"""
LOSES_ANSWERS = frozenset(
    {
        "kill a portal",
        "kill all portals",
        "kill portals while RabbitMQ is away",
        "freeze a portal",
        "all portals away for minutes",
    }
)
DELAYS_NOTES = frozenset(
    {"kill PostgreSQL", "cut the database's connections", "PostgreSQL away for minutes"}
)


def violations(
    tickets: Iterable[Ticket],
    deliveries: Sequence[Delivery],
    faults: Sequence[Fault],
    given_up: Mapping[tuple[int, str], int],
) -> list[str]:
    """Each begins with the rule that was broken.  Lateness is judged by ``late``.

    ``given_up``: by number and kind of channel, how often a portal has waited for an answer until its time limit.
    """
    by_end: dict[tuple[int, str], list[Delivery]] = {
        end[:2]: [] for ticket in tickets for end in _ends(ticket)
    }
    for each in deliveries:
        by_end.setdefault((each.ticket, each.kind), []).append(each)
    return [
        sentence
        for end, got in by_end.items()
        for sentence in _of_one(*end, got, faults, given_up.get(end, 0))
    ]


def late(tickets: Iterable[Ticket], deliveries: Sequence[Delivery]) -> list[str]:
    """A sentence if more ends than MOST_LATE were told later than LATE_S.  A busy machine may be the reason."""
    share = share_late(tickets, deliveries)
    return [f"told late: {share:.1%}"] if share > MOST_LATE else []


def share_late(tickets: Iterable[Ticket], deliveries: Sequence[Delivery]) -> float:
    """The share, 0..1, of ends that came to a receiver later than LATE_S, or never."""
    ends = [end for ticket in tickets for end in _ends(ticket)]
    first: dict[tuple[int, str], float] = {}
    for each in sorted(deliveries, key=lambda d: -d.got_s):
        first[each.ticket, each.kind] = each.got_s
    late = [1 for number, kind, at in ends if first.get((number, kind), float("inf")) > at + LATE_S]
    return len(late) / max(len(ends), 1)


def repeated(deliveries: Sequence[Delivery]) -> int:
    """The number of deliveries beyond the first of each key."""
    return len(deliveries) - len({(each.kind, each.key) for each in deliveries})


def _ends(ticket: Ticket) -> Iterator[tuple[int, str, float]]:
    """Number, kind of channel, seconds since 1970.  Nobody retries here, so there is at most one end."""
    for status, at_s in ticket.history:
        if status in TOLD:
            yield from ((ticket.number, kind, at_s) for kind in KINDS)


def _of_one(
    number: int, kind: str, got: Sequence[Delivery], faults: Sequence[Fault], given_up: int
) -> Iterator[str]:
    if not got:
        yield f"untold: the end of ticket {number} came to no {kind}"
    if len({each.key for each in got}) > 1:
        yield f"told twice: the {kind} of ticket {number} came under several keys"
    pairs = pairwise(sorted(got, key=lambda each: each.got_s))
    for one, again in [pair for pair in pairs if not _was_lost(pair[0], faults)][given_up:]:
        after_s = again.got_s - one.got_s
        yield f"told twice: the {kind} of ticket {number} came again after {after_s:.1f} s, though it was answered"


def _was_lost(one: Delivery, faults: Sequence[Fault]) -> bool:
    if one.answered_s is None:
        return True
    noted_s = _noted_s(one.answered_s, faults)
    return any(
        fault.kind in LOSES_ANSWERS
        and fault.began_s <= noted_s
        and one.got_s <= max(fault.from_s, fault.began_s) + READ_S
        for fault in faults
    )


def _noted_s(answered_s: float, faults: Sequence[Fault]) -> float:
    """When a portal that lives has noted an answer, in seconds since 1970: later if the database is away meanwhile."""
    away_until_s = [
        fault.from_s
        for fault in faults
        if fault.kind in DELAYS_NOTES and fault.began_s - READ_S <= answered_s <= fault.from_s
    ]
    return max([answered_s, *away_until_s]) + READ_S
