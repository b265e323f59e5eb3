"""The drawing of exchanges and queues, from ``topology`` (keys, queues), ``rights`` (who sends and reads) and the
docstrings of requests (what answers them).
"""

import inspect
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from drawing import LINE_PX, arrow, box, figure, text

from dss_broker import messages, topology
from dss_broker.rights import USERS
from dss_broker.topology import Sharing, Subscription

PROGRAMS = {"dss-portal": "portal", "dss-dispatch": "dispatcher", "dss-inference": "worker"}
SHARED = {
    Sharing.WORK: ("each to one of them",),
    Sharing.ORDERED: ("all to one of them,", "in order of each ticket"),
    Sharing.EVERYONE: ("each to every process",),
}
EXAMPLE = {"service": "SERVICE", "bundle": "BUNDLE"}
WIDTH_PX, QUEUE_PX, PILL_PX, WRAP = 890, 300, 88, 32
ROW_PX = 44
"""Smallest height, so that the note below a reader has room."""
SENDER_X, TEXT_X, EXCHANGE_X, QUEUE_X = 6, 104, 340, 400
READER_X = QUEUE_X + QUEUE_PX + 28
NAME = "topology"


@dataclass(frozen=True, kw_only=True)
class Flow:
    """What reaches one queue: the names of messages by their sender.  ``note`` says how its readers share it."""

    queue: str
    keys: tuple[str, ...]
    sent: dict[str, list[str]]
    reader: str
    note: tuple[str, ...]


def flows() -> list[Flow]:
    """One for each queue of the exchange for messages that are no reply."""
    return [_flow(found, reader) for found in _subscriptions() for reader in _readers(found)]


def replies() -> list[Flow]:
    """One for each kind of request that is answered through the exchange for replies."""
    by_name = {name: flow for flow in flows() for names in flow.sent.values() for name in names}
    found = []
    for kind in get_args(messages.Message):
        answers = [name for name in _answers(kind) if _key(name) is None]
        if answers:
            request = by_name[kind.__name__]
            asker = next(s for s, names in request.sent.items() if kind.__name__ in names)
            program = {shown: user for user, shown in PROGRAMS.items()}[asker].removeprefix("dss-")
            queue = topology.reply_queue(program, "INSTANCE", "PROCESS")
            sent = {request.reader: answers}
            note = (f"answers {kind.__name__}",)
            found.append(Flow(queue=queue, keys=(queue,), sent=sent, reader=asker, note=note))
    return found


def _subscriptions() -> Iterator[Subscription]:
    """Of the portal's exchange, with examples for what they are made of."""
    for made in vars(topology).values():
        if isinstance(made, Subscription) and made.exchange == topology.EXCHANGE:
            yield made
        elif inspect.isfunction(made) and made.__annotations__.get("return") is Subscription:
            wanted = [name for name in inspect.signature(made).parameters if name != "prefetch"]
            for program in ("dispatch", "inference") if "program" in wanted else ("",):
                yield made(**{n: {**EXAMPLE, "program": program}[n] for n in wanted})


def _readers(found: Subscription) -> list[str]:
    """Programs whose rights let them read all keys into this queue."""
    return [
        shown
        for user, shown in PROGRAMS.items()
        if re.search(USERS[user].own, found.queue)
        and all(re.search(USERS[user].topics[topology.EXCHANGE].read, key) for key in found.keys)
    ]


def _flow(found: Subscription, reader: str) -> Flow:
    sent: dict[str, list[str]] = {}
    for kind in get_args(messages.Message):
        key = _key(kind.__name__)
        if key is not None and any(_matches(key, pattern) for pattern in found.keys):
            for user, shown in PROGRAMS.items():
                if re.search(USERS[user].topics[topology.EXCHANGE].write, key):
                    sent.setdefault(shown, []).append(kind.__name__)
    note = SHARED[found.sharing]
    return Flow(queue=found.queue, keys=found.keys, sent=sent, reader=reader, note=note)


def _key(name: str) -> str | None:
    """The routing key of a message; None for a reply."""
    kind: Any = getattr(messages, name)
    example = object.__new__(kind)
    for field, word in EXAMPLE.items():
        object.__setattr__(example, field, word)
    try:
        return topology.routing_key(example)
    except ValueError:
        return None


def _matches(key: str, pattern: str) -> bool:
    words = re.escape(pattern).replace(r"\*", r"[^.]+").replace(r"\#", ".*")
    return re.fullmatch(words, key) is not None


def _answers(kind: type[Any]) -> list[str]:
    """Messages that the docstring of a request names as its answers."""
    found = re.search(r"Answered by (.*?)\.(\s|$)", inspect.getdoc(kind) or "", re.DOTALL)
    kinds = {each.__name__ for each in get_args(messages.Message)}
    return [word for word in re.findall(r"\w+", found[1] if found else "") if word in kinds]


def drawing() -> str:
    parts: list[str] = []
    y = _table(parts, flows(), topology.EXCHANGE, 8)
    y = _table(parts, replies(), topology.REPLY_EXCHANGE, y + 12)
    y = _dead(parts, y + 12)
    return figure(NAME, (WIDTH_PX, y), ("Exchanges and queues", described()), parts)


def described() -> str:
    """The drawing in sentences."""
    sentences = [
        f"{sender} sends {', '.join(names)} through {exchange} to {flow.queue}, which {flow.reader} reads."
        for exchange, found in ((topology.EXCHANGE, flows()), (topology.REPLY_EXCHANGE, replies()))
        for flow in found
        for sender, names in flow.sent.items()
    ]
    dead = (
        f"What nobody could handle goes through {topology.DEAD_EXCHANGE} to {topology.DEAD_QUEUE}."
    )
    return " ".join([*sentences, dead])


def _table(parts: list[str], found: Sequence[Flow], exchange: str, y: int) -> int:
    """Draw a row for each flow, and the exchange through all of them; returns where it ends."""
    top = y
    for flow in found:
        y = _row(parts, flow, y) + 12
    _exchange(parts, exchange, top, y - 12)
    return y


def _row(parts: list[str], flow: Flow, y: int) -> int:
    wrapped = {sender: textwrap.wrap(", ".join(names), WRAP) for sender, names in flow.sent.items()}
    heights = [max(len(lines) * LINE_PX + 10, 30) for lines in wrapped.values()]
    keys = [] if flow.keys == (flow.queue,) else list(flow.keys)
    height = max(sum(heights) + 8 * (len(heights) - 1), (len(keys) + 1) * LINE_PX + 12, ROW_PX)
    at = y + (height - sum(heights) - 8 * (len(heights) - 1)) // 2
    for (sender, lines), each in zip(wrapped.items(), heights, strict=True):
        _sent(parts, sender, lines, (at, each))
        at += each + 8
    _queue(parts, flow, keys, (y, height))
    return y + height


def _sent(parts: list[str], sender: str, lines: Sequence[str], span: tuple[int, int]) -> None:
    y, height = span
    line_y = y + height - 5
    _pill(parts, sender, SENDER_X, y + (height - 26) // 2)
    parts.append(text((TEXT_X, line_y - 5 - (len(lines) - 1) * LINE_PX), lines))
    parts.append(arrow(NAME, f"M{SENDER_X + PILL_PX} {line_y}H{EXCHANGE_X - 2}"))


def _queue(parts: list[str], flow: Flow, keys: Sequence[str], span: tuple[int, int]) -> None:
    y, height = span
    middle = y + height // 2
    inner = (len(keys) + 1) * LINE_PX
    first = y + (height - inner) // 2 + 12
    parts.append(arrow(NAME, f"M{EXCHANGE_X + 30} {middle}H{QUEUE_X - 2}"))
    parts.append(box((QUEUE_X, y), (QUEUE_PX, height), "queue"))
    parts.append(text((QUEUE_X + 10, first), [flow.queue], "name"))
    parts.append(text((QUEUE_X + 10, first + LINE_PX), keys, "small"))
    parts.append(arrow(NAME, f"M{QUEUE_X + QUEUE_PX} {middle}H{READER_X - 2}"))
    _pill(parts, flow.reader, READER_X, middle - 13)
    parts.append(text((READER_X, middle + 27), flow.note, "small"))


def _pill(parts: list[str], program: str, x: int, y: int) -> None:
    parts.append(box((x, y), (PILL_PX, 26), program, 13))
    parts.append(text((x + PILL_PX // 2, y + 17), [program], "", "middle"))


def _exchange(parts: list[str], name: str, top: int, bottom: int) -> None:
    x, y = EXCHANGE_X + 19, (top + bottom) // 2
    parts.append(box((EXCHANGE_X, top), (28, bottom - top), "exchange"))
    turned = text((x, y), [name], "name", "middle").replace(
        "<text ", f'<text transform="rotate(-90 {x} {y})" '
    )
    parts.append(turned)


def _dead(parts: list[str], y: int) -> int:
    """Draw where messages go that could not be handled."""
    readers = (
        Flow(
            queue=topology.DEAD_QUEUE, keys=("waits for an operator",), sent={}, reader="", note=()
        ),
        Flow(
            queue=topology.PORTAL_PARKED.queue,
            keys=("for the ticket's log",),
            sent={},
            reader="portal",
            note=(),
        ),
    )
    top, height = y, 44
    for flow in readers:
        middle = y + height // 2
        parts.append(arrow(NAME, f"M{EXCHANGE_X + 30} {middle}H{QUEUE_X - 2}"))
        parts.append(box((QUEUE_X, y), (QUEUE_PX, height), "queue"))
        parts.append(text((QUEUE_X + 10, y + 18), [flow.queue], "name"))
        parts.append(text((QUEUE_X + 10, y + 34), flow.keys, "small"))
        if flow.reader:
            parts.append(arrow(NAME, f"M{QUEUE_X + QUEUE_PX} {middle}H{READER_X - 2}"))
            _pill(parts, flow.reader, READER_X, middle - 13)
        y += height + 12
    middle = (top + y - 12) // 2
    _exchange(parts, topology.DEAD_EXCHANGE, top, y - 12)
    parts.append(text((TEXT_X, middle - 5), ["what could not be handled"]))
    parts.append(text((SENDER_X, middle - 5), ["any queue"]))
    parts.append(arrow(NAME, f"M{SENDER_X} {middle}H{EXCHANGE_X - 2}"))
    return y
