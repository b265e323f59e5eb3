"""What is promised of every world of ``ticket_model``, whatever has happened in it."""

from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import TypeAlias

from dss_portal.models import Status
from dss_portal.tickets import lifecycle
from dss_portal.tickets.lifecycle import TicketState
from support.ticket_model import ENDED, Rules, Step, World, explore, fresh, start

_NEXT = {
    Status.INIT: {Status.READY, Status.TIMEOUT, Status.DELETED},
    Status.READY: {Status.READY, Status.CLAIMED, Status.TIMEOUT, Status.DELETED},
    Status.CLAIMED: set(Status) - {Status.INIT},
    Status.SUCCESS: {Status.DELETED},
    Status.FAILED: {Status.READY, Status.DELETED},
    Status.TIMEOUT: {Status.READY, Status.DELETED},
    Status.DELETED: set[Status](),
}
ByClaim: TypeAlias = (
    lifecycle.Succeeded
    | lifecycle.Failed
    | lifecycle.Abandoned
    | lifecycle.HolderRemoved
    | lifecycle.LeaseLapsed
    | lifecycle.RunOverdue
)
ByUser: TypeAlias = lifecycle.Retried | lifecycle.Requeued | lifecycle.Deleted


def broken_promises(
    tickets: int, rules: Rules, found: dict[World, list[Step]] | None = None
) -> Iterator[str]:
    """Each that is broken somewhere, as often as it is; ``found`` gets the worlds that were looked at.

    Worlds are made as they are asked for: the first answers come long before the last world.
    """
    found = {} if found is None else found
    of_world = partial(_of_world, max_attempts=rules.max_attempts)
    for world, steps in explore(start(tickets, rules), rules, of_world):
        found[world] = steps
        yield from of_world(world)
        for step in steps:
            yield from _of_step(world, step)
    yield from _dead_ends(found)


def _of_world(world: World, max_attempts: int) -> Iterator[str]:
    ready = sum(ticket.state.status is Status.READY for ticket in world.tickets)
    if not world.short and fresh(world) < ready:
        yield "a ticket waits and no message tells of it"
    for ticket in world.tickets:
        if max(ticket.state.attempt, ticket.lost) > max_attempts:
            yield "more attempts than allowed"
        if ticket.successes > 1:
            yield "two results"
    holders = [message.ticket for message in world.messages if message.holds]
    if len(holders) != len(set(holders)):
        yield "two messages hold one ticket"


def _of_step(world: World, step: Step) -> Iterator[str]:
    for before, after in zip(world.tickets, step.after.tickets, strict=True):
        if after.state != before.state and after.state.status not in _NEXT[before.state.status]:
            yield "a path that is not legal"
    led = {m.ticket for m in world.messages if m.in_hand and m.ticket >= 0}
    if isinstance(step.event, lifecycle.Claimed) and _led_elsewhere(world, step, led):
        yield "a message leads to two tickets"
    if step.event is None or not step.changed:
        return
    state = world.tickets[step.ticket].state
    if isinstance(step.event, ByClaim) and not _spoken_by_holder(state, step.event):
        yield "an old claim is heard"
    if state.status in ENDED and not isinstance(step.event, ByUser):
        yield "what has ended changes"
    if state.status is Status.DELETED:
        yield "what is deleted changes"
    if isinstance(step.event, lifecycle.StageOverdue) and state.status is not step.event.stage:
        yield "a stage is overdue that is over"


def _spoken_by_holder(state: TicketState, event: ByClaim) -> bool:
    return state.status is Status.CLAIMED and state.claim_id == event.claim_id


def _led_elsewhere(world: World, step: Step, led: set[int]) -> bool:
    """Did a message that had led to one ticket lead to another now?"""

    def count(w: World, ticket: int) -> int:
        return sum(m.ticket == ticket for m in w.messages)

    return any(count(step.after, t) < count(world, t) for t in led if t != step.ticket)


def _dead_ends(found: dict[World, list[Step]]) -> set[str]:
    """Worlds from which nothing leads to an end without the help of a user or an operator."""
    before: dict[World, list[World]] = {world: [] for world in found}
    for world, steps in found.items():
        for step in steps:
            if step.hopeful:
                before[step.after].append(world)
    reached = {world for world in found if world.is_over}
    waiting = deque(reached)
    while waiting:
        new = [world for world in before[waiting.popleft()] if world not in reached]
        reached.update(new)
        waiting.extend(new)
    return {"there is no way to an end"} if len(reached) < len(found) else set()
