"""What must hold after a run, whatever was done to it.  Pure: a sentence for each thing that does not."""

from collections.abc import Iterable, Iterator

from chaos.cases import Kind, is_right, signature
from chaos.evidence import TERMINAL, Evidence, Ticket
from chaos.stand_in import REFUSAL
from chaos.users import Sent
from dss_inference.worker.recorded_answers import TAKEN_OVER

_NEXT = {
    "": {"init"},
    "init": {"ready", "deleted"},
    "ready": {"claimed", "failed", "timeout", "deleted"},
    "claimed": {"claimed", "ready", "success", "failed", "timeout", "deleted"},
    "success": {"deleted"},
    "failed": {"deleted"},
    "timeout": {"deleted"},
    "deleted": set[str](),
}
"""Nobody retries here, so what has ended can only be deleted."""

_EXPECTED = {
    Kind.GOOD: {"success"},
    Kind.REFUSED: {"failed"},
    Kind.DEADLY: {"failed"},
    Kind.WITHDRAWN: {"deleted"},
}


def violations(sent: Iterable[Sent], evidence: Evidence) -> list[str]:
    """Each begins with the rule that was broken."""
    accepted = [one for one in sent if one.accepted]
    return [
        *_of_tickets(accepted, evidence),
        *_of_histories(evidence.tickets.values()),
        *_of_results(accepted, evidence),
        *_of_remains(evidence),
        *_of_dead_letters(accepted, evidence),
    ]


def _of_tickets(accepted: list[Sent], evidence: Evidence) -> Iterator[str]:
    for one in accepted:
        ticket = evidence.tickets.get(one.ticket)
        if ticket is None:
            yield f"lost: ticket {one.ticket} was accepted and is not in the database"
        elif ticket.status not in TERMINAL:
            yield f"stuck: ticket {one.ticket} is {ticket.status}"
        elif ticket.status not in _EXPECTED[one.case.kind]:
            said = ticket.log[-1] if ticket.log else "nothing"
            yield f"wrong end: {one.case.kind.name} ticket {one.ticket} is {ticket.status}: {said}"
        elif one.case.kind is Kind.REFUSED and REFUSAL not in ticket.log:
            yield f"wrong end: ticket {one.ticket} does not say why it failed"


def _of_histories(tickets: Iterable[Ticket]) -> Iterator[str]:
    for ticket in tickets:
        before = ""
        for status, _ in ticket.history:
            if status not in _NEXT[before]:
                yield f"history: ticket {ticket.number} went from {before} to {status}"
            before = status
        if before != ticket.status:
            yield f"history: ticket {ticket.number} is {ticket.status} but went to {before}"
        claimed = sum(status == "claimed" for status, _ in ticket.history)
        if claimed != len(ticket.claims):
            yield f"history: ticket {ticket.number} has {len(ticket.claims)} claims, told {claimed}"


def _of_results(accepted: list[Sent], evidence: Evidence) -> Iterator[str]:
    for one in accepted:
        labels, ticket = evidence.labels.get(one.ticket), evidence.tickets.get(one.ticket)
        if labels is None or ticket is None:
            continue
        if not is_right(labels, one.case):
            yield f"result: that of ticket {one.ticket} belongs to another image"
        if not _is_own(signature(labels), ticket):
            yield f"result: that of ticket {one.ticket} comes from a claim that it had lost"


def _is_own(maker: str, ticket: Ticket) -> bool:
    """Made for the claim that it ended with, or for an earlier one and knowingly taken over from that."""
    if maker == ticket.claim_id:
        return True
    return maker in {claim for claim, _ in ticket.claims} and is_taken_over(ticket)


def is_taken_over(ticket: Ticket) -> bool:
    """Did its last claim get what an earlier one had computed?"""
    return TAKEN_OVER.text in ticket.of_last_claim


def _of_remains(evidence: Evidence) -> Iterator[str]:
    if evidence.outbox:
        yield f"remains: {evidence.outbox} messages in the outbox"
    if evidence.untold:
        yield f"remains: {evidence.untold} notifications"
    for queue, count in evidence.queued.items():
        yield f"remains: {count} messages in {queue}"
    for stray in evidence.strays:
        yield f"remains: {stray}"
    for path in evidence.gone:
        yield f"lost: {path} is shown to its user and not there"


def _of_dead_letters(accepted: list[Sent], evidence: Evidence) -> Iterator[str]:
    deadly = {one.ticket for one in accepted if one.case.kind is Kind.DEADLY}
    for ticket in sorted(deadly - set(evidence.dead)):
        yield f"dead letters: ticket {ticket} kills each program that works on it, and has none"
    for ticket in evidence.dead:
        if ticket not in deadly:
            yield f"dead letters: one of ticket {ticket}, which harms nobody"
