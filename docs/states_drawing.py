"""The drawing and the table of a ticket's states, made by asking ``lifecycle.apply`` about each state and event."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from drawing import arrow, box, figure, text

from dss_portal.models import Status
from dss_portal.tickets import lifecycle

NAME = "states"
SIZE_PX = (860, 490)
BOX_PX = (96, 40)
CENTRES = {
    Status.INIT: (90, 200),
    Status.READY: (300, 200),
    Status.CLAIMED: (540, 200),
    Status.FAILED: (780, 60),
    Status.SUCCESS: (780, 200),
    Status.TIMEOUT: (190, 440),
    Status.DELETED: (780, 440),
}
ROUTES = {
    ("init", "ready"): ("M138 200H250", (194, 176), "middle"),
    ("init", "timeout"): ("M96 220L170 418", (130, 330), "end"),
    ("ready", "claimed"): ("M348 194H490", (419, 186), "middle"),
    ("ready", "timeout"): ("M284 220L212 418", (256, 270), "end"),
    ("claimed", "claimed"): ("M520 180C500 110 580 110 562 178", (540, 118), "middle"),
    ("claimed", "ready"): ("M520 220C480 270 360 270 324 222", (422, 278), "middle"),
    ("claimed", "success"): ("M588 200H730", (660, 192), "middle"),
    ("claimed", "failed"): ("M580 180L734 82", (664, 152), "start"),
    ("claimed", "timeout"): ("M546 220C540 390 420 440 240 440", (552, 310), "start"),
    ("failed", "ready"): ("M732 52C560 10 320 20 302 178", (450, 60), "middle"),
    ("timeout", "ready"): ("M238 428C310 400 330 320 308 222", (318, 372), "start"),
}
"""Path, place of the words and their anchor, by state before and after.  Each must exist in the code and none other."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What ``event`` makes of a ticket in ``before``.  ``last`` is said of a claim's attempt."""

    before: Status
    after: Status
    event: type[object]
    last: bool = False

    @property
    def words(self) -> str:
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", self.event.__name__).capitalize()
        return f"{name}, last attempt" if self.last else name


def changes() -> list[Change]:
    """All changes to another state, or of a claimed ticket to another claim."""
    return [change for state in Status for change in _changes_of(state)]


def _changes_of(state: Status) -> Iterator[Change]:
    ticket = lifecycle.TicketState(status=state, claim_id="held", attempt=2)
    for kind in get_args(lifecycle.Event):
        for event, last in _examples(kind):
            try:
                after = lifecycle.apply(ticket, event)
            except lifecycle.IllegalAction:
                continue
            moved_claim = state is Status.CLAIMED and after.claim_id != ticket.claim_id
            if after.status is not state or moved_claim:
                yield Change(before=state, after=after.status, event=kind, last=last)


def _examples(kind: type[lifecycle.Event]) -> Iterator[tuple[lifecycle.Event, bool]]:
    """Events of that kind, and whether they find the last attempt, for a ticket in its second."""
    wanted = inspect.signature(kind).parameters
    known = {"claim_id": "new" if kind is lifecycle.Claimed else "held"}
    given = {name: known[name] for name in wanted if name in known}
    if "max_attempts" in wanted:
        for most in (3, 2):
            yield kind(**given, max_attempts=most), most == 2  # type: ignore[call-arg]  # those with attempts
    elif "stage" in wanted:
        for stage in Status:
            yield kind(**given, stage=stage), False  # type: ignore[call-arg]  # StageOverdue
    else:
        yield kind(**given), False


def arrows() -> dict[tuple[str, str], list[str]]:
    """Names of events by state before and after, but deletions."""
    found: dict[tuple[str, str], list[str]] = {}
    for change in changes():
        if change.after is not Status.DELETED:
            words = found.setdefault((change.before.value, change.after.value), [])
            words += [change.words] if change.words not in words else []
    return found


def drawing() -> str:
    """Raises ValueError if the code has other changes than there are routes for."""
    found = arrows()
    if found.keys() != ROUTES.keys():
        raise ValueError(f"Changes and routes differ: {sorted(found.keys() ^ ROUTES.keys())}")
    if {c.before for c in changes() if c.after is Status.DELETED} != set(Status) - {Status.DELETED}:
        raise ValueError("The drawing says that a ticket can be deleted in every state.")
    parts = [_state(state) for state in Status]
    parts += [part for pair, words in found.items() for part in _route(pair, words)]
    x, y = CENTRES[Status.DELETED]
    parts += [
        text((x - 190, y - 8), ["any state: Deleted"], "small"),
        arrow(NAME, f"M{x - 190} {y}H{x - BOX_PX[0] // 2 - 2}"),
        '<circle cx="12" cy="200" r="5" class="begin"/>',
        arrow(NAME, "M17 200H40"),
    ]
    return figure(NAME, SIZE_PX, ("States of a ticket", described()), parts)


def described() -> str:
    sentences = [f"{a} to {b}: {', '.join(words)}." for (a, b), words in arrows().items()]
    return " ".join([*sentences, "Any state to deleted: Deleted."])


def _state(state: Status) -> str:
    x, y = CENTRES[state]
    width, height = BOX_PX
    kind = "open" if state in lifecycle.OPEN else state.value
    drawn = box((x - width // 2, y - height // 2), BOX_PX, f"state {kind}", 8)
    return drawn + text((x, y + 5), [state.value], "name", "middle")


def _route(pair: tuple[str, str], words: list[str]) -> list[str]:
    path, (x, y), anchor = ROUTES[pair]
    return [arrow(NAME, path), text((x, y), words, "small", anchor)]


def events() -> list[tuple[str, str, str]]:
    """Name, meaning and changes of each event."""
    rows = []
    for kind in get_args(lifecycle.Event):
        own = [change for change in changes() if change.event is kind]
        for last in sorted({change.last for change in own}):
            of_kind = [change for change in own if change.last is last]
            pairs = ", ".join(f"{c.before.value} → {c.after.value}" for c in of_kind)
            rows.append((of_kind[0].words, _meaning(kind), pairs))
    return rows


def _meaning(kind: type[object]) -> str:
    """The first paragraph of its docstring; a dataclass without one has its signature there."""
    found = inspect.getdoc(kind) or ""
    return "" if found.startswith(f"{kind.__name__}(") else found.split("\n\n")[0]
