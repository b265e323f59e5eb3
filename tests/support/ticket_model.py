"""Everything that can happen to tickets, their messages and their claims, in any order; to be explored exhaustively.

The world has a few tickets of one service, the messages that tell of them, and the claims that these
led to.  What a program does is one action, and any action that is possible may be next: messages are
delivered, redelivered and lost, dispatchers die, events come late, twice, in any order or never, the
reaper is early or late, users retry and delete.  The model keeps the claims that may still speak as
two names, ``now`` and ``old``: ``apply`` compares them and nothing else.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from dss_portal.models import Status
from dss_portal.tickets import lifecycle
from dss_portal.tickets.lifecycle import Event, IllegalAction, TicketState

Apply: TypeAlias = Callable[[TicketState, Event], TicketState]

DELIVERIES = 2
"""After so many the broker parks a message, here."""

NOW, OLD = "now", "old"
NEW = TicketState(status=Status.INIT)
ENDED = lifecycle.FINISHED | {Status.DELETED}


@dataclass(frozen=True, kw_only=True, order=True)
class Message:
    """``ticket`` is the one that it led to, if it was ever granted one; ``holds`` if it still does."""

    in_hand: bool = False
    deliveries: int = 0
    ticket: int = -1
    holds: bool = False


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """``lost`` counts the attempts taken away since the user last asked for the ticket."""

    state: TicketState = NEW
    claimed: bool = False
    successes: int = 0
    lost: int = 0
    restarts: int = 1


@dataclass(frozen=True, kw_only=True)
class World:
    """``short`` is true once a message is gone that had led nowhere, and only the reaper can mend that."""

    tickets: tuple[Ticket, ...]
    messages: tuple[Message, ...] = ()
    short: bool = False

    @property
    def is_over(self) -> bool:
        return not self.messages and all(t.state.status in ENDED for t in self.tickets)


@dataclass(frozen=True, kw_only=True)
class Step:
    """``event`` happened to ``ticket``, if any did.  ``hopeful``: it needs nobody's will or mishap."""

    what: str
    after: World
    hopeful: bool = False
    ticket: int = -1
    event: Event | None = None
    changed: bool = False


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How the portal behaves; the defaults are as it does, and a test takes one of them away."""

    apply: Apply = lifecycle.apply
    announces_again: bool = True
    follows_deliveries: bool = True
    uses_messages_once: bool = True
    max_attempts: int = 2
    restarts: int = 1
    begins: TicketState = NEW


def start(count: int, rules: Rules) -> World:
    """Where it begins; a ticket that waits has been announced."""
    ticket = Ticket(state=rules.begins, restarts=rules.restarts)
    announced = count if rules.begins.status is Status.READY else 0
    return World(tickets=(ticket,) * count, messages=(Message(),) * announced)


def explore(
    begin: World, rules: Rules, broken: Callable[[World], Iterator[str]]
) -> Iterator[tuple[World, list[Step]]]:
    """Every world that can be reached, with all that can happen next; nothing where one is ``broken``."""
    found: set[World] = set()
    waiting = deque([begin])
    while waiting:
        world = waiting.popleft()
        if world in found:
            continue
        found.add(world)
        steps = [] if any(broken(world)) else list(_steps(world, rules))
        yield world, steps
        waiting.extend(step.after for step in steps)


def _steps(world: World, rules: Rules) -> Iterator[Step]:
    for number in range(len(world.tickets)):
        yield from _told(world, number, rules)
        yield from _asked_by_users(world, number, rules)
        yield from _reaped(world, number, rules)
    for message in sorted(set(world.messages)):
        yield from _carried(world, message, rules)
        yield from _claimed(world, message, rules)


def _told(world: World, number: int, rules: Rules) -> Iterator[Step]:
    """Events of dispatchers, of whatever claim there ever was; to hope for only from one at work."""
    ticket = world.tickets[number]
    at_work = any(m.in_hand and m.holds and m.ticket == number for m in world.messages)
    for claim_id in (NOW, OLD) if ticket.claimed else ():
        hopeful = at_work and lifecycle.is_current(ticket.state, claim_id)
        for event in (lifecycle.Succeeded(claim_id=claim_id), lifecycle.Failed(claim_id=claim_id)):
            yield from _happens(world, number, event, rules, hopeful=hopeful)


def _asked_by_users(world: World, number: int, rules: Rules) -> Iterator[Step]:
    ticket = world.tickets[number]
    yield from _happens(world, number, lifecycle.Submitted(), rules)
    yield from _happens(world, number, lifecycle.Deleted(), rules)
    if ticket.restarts:
        spent = _with(world, number, replace(ticket, restarts=ticket.restarts - 1))
        yield from _happens(spent, number, lifecycle.Retried(), rules)
        yield from _happens(spent, number, lifecycle.Requeued(), rules)
        for claim_id in (NOW, OLD) if ticket.claimed else ():
            yield from _happens(spent, number, lifecycle.HolderRemoved(claim_id=claim_id), rules)


def _reaped(world: World, number: int, rules: Rules) -> Iterator[Step]:
    """Whatever the reaper has seen before; the ticket may have changed since."""
    for claim_id in (NOW, OLD) if world.tickets[number].claimed else ():
        attempts = rules.max_attempts
        lapsed = lifecycle.LeaseLapsed(claim_id=claim_id, max_attempts=attempts)
        overdue = lifecycle.RunOverdue(claim_id=claim_id, max_attempts=attempts)
        yield from _happens(world, number, lapsed, rules, hopeful=True)
        yield from _happens(world, number, overdue, rules)
    upload, wait = (lifecycle.StageOverdue(stage=s) for s in (Status.INIT, Status.READY))
    yield from _happens(world, number, upload, rules, hopeful=True)
    yield from _happens(world, number, wait, rules)
    if world.tickets[number].state.status is Status.READY and not fresh(world):
        again = replace(world, messages=_sorted((*world.messages, Message())))
        yield Step(what="announced again", after=again, hopeful=True)


def _carried(world: World, message: Message, rules: Rules) -> Iterator[Step]:
    """What the broker does with a message, and what becomes of it when its dispatcher dies."""
    lost = replace(_without(world, message), short=world.short or message.ticket < 0)
    if message.in_hand:
        back = replace(message, in_hand=False)
        yield Step(what="dispatcher dies", after=_instead(world, message, back))
        if message.ticket >= 0:
            yield Step(what="acknowledged", after=_without(world, message), hopeful=True)
    elif message.deliveries < DELIVERIES:
        given = replace(message, in_hand=True, deliveries=message.deliveries + 1)
        yield Step(what="delivered", after=_instead(world, message, given), hopeful=True)
    elif message.holds:
        event = lifecycle.Abandoned(claim_id=NOW)
        yield from _happens(lost, message.ticket, event, rules, hopeful=True)
    else:
        yield Step(what="parked", after=lost, hopeful=True)
    yield Step(what="lost", after=lost)


def _claimed(world: World, message: Message, rules: Rules) -> Iterator[Step]:
    """The portal answers the dispatcher; of the waiting tickets, any may be first."""
    if not message.in_hand:
        return
    if message.holds and rules.follows_deliveries:
        yield from _granted(world, message, message.ticket, rules)
        return
    used = message.ticket >= 0 and rules.uses_messages_once
    ready = [n for n, t in enumerate(world.tickets) if t.state.status is Status.READY]
    for number in () if used else ready:
        yield from _granted(world, message, number, rules)
    if used or not ready:
        yield Step(what="refused", after=_without(world, message), hopeful=True)


def _granted(world: World, message: Message, number: int, rules: Rules) -> Iterator[Step]:
    holder = replace(message, ticket=number, holds=True)
    for step in _happens(world, number, lifecycle.Claimed(claim_id="new"), rules, hopeful=True):
        ticket = step.after.tickets[number]
        known = replace(ticket, claimed=True, state=replace(ticket.state, claim_id=NOW))
        after = _with(_instead(step.after, message, holder), number, known)
        yield replace(step, after=after)


def _happens(
    world: World, number: int, event: Event, rules: Rules, *, hopeful: bool = False
) -> Iterator[Step]:
    """Nothing, if a user may not."""
    before = world.tickets[number]
    try:
        state = rules.apply(before.state, event)
    except IllegalAction:
        return
    changed = state is not before.state
    if changed:
        world = _after(world, number, state, event, rules)
    what = f"{type(event).__name__} of ticket {number}, {getattr(event, 'claim_id', '')}"
    yield Step(what=what, after=world, hopeful=hopeful, ticket=number, event=event, changed=changed)


def _after(world: World, number: int, state: TicketState, event: Event, rules: Rules) -> World:
    before = world.tickets[number]
    taken = isinstance(event, lifecycle.LeaseLapsed | lifecycle.RunOverdue)
    anew = isinstance(event, lifecycle.Retried | lifecycle.Requeued)
    ticket = replace(
        before,
        state=state,
        successes=before.successes + isinstance(event, lifecycle.Succeeded),
        lost=0 if anew else before.lost + taken,
    )
    messages = world.messages
    if state.status is not Status.CLAIMED:
        messages = _sorted(replace(m, holds=m.holds and m.ticket != number) for m in messages)
    if state.status is Status.READY and (rules.announces_again or not taken):
        messages = _sorted((*messages, Message()))
    return _with(replace(world, messages=messages), number, ticket)


def fresh(world: World) -> int:
    """Messages that may still lead to a ticket."""
    return sum(message.ticket < 0 for message in world.messages)


def _with(world: World, number: int, ticket: Ticket) -> World:
    before, after = world.tickets[:number], world.tickets[number + 1 :]
    return replace(world, tickets=(*before, ticket, *after))


def _without(world: World, message: Message) -> World:
    kept = list(world.messages)
    kept.remove(message)
    return replace(world, messages=tuple(kept))


def _instead(world: World, message: Message, other: Message) -> World:
    """Every hold on the ticket of ``other`` is its own from now on, if it has one."""
    left = _without(world, message).messages
    if other.holds:
        left = tuple(replace(m, holds=m.holds and m.ticket != other.ticket) for m in left)
    return replace(world, messages=_sorted((*left, other)))


def _sorted(messages: "tuple[Message, ...] | Iterator[Message]") -> tuple[Message, ...]:
    return tuple(sorted(messages))
