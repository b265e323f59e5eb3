"""Log lines and progress of a moment reach a portal in one message, in order, if it reads such messages."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest

from dss_broker.codec import MAX_BODY_BYTES, encode
from dss_broker.memory import MemoryBroker
from dss_broker.messages import (
    AttachedFile,
    ClaimFailed,
    ClaimGranted,
    ClaimHeartbeat,
    ClaimLogged,
    ClaimProgressed,
    ClaimReported,
    Message,
)
from dss_broker.topology import PORTAL_EVENTS
from dss_dispatch import claim_events
from dss_dispatch.claim_events import ClaimEvents
from support.waiting import wait_until

MAP = AttachedFile(name="map.png", description="", mime_type="image/png")


@dataclass
class Told:
    """What a portal hears of a claim; ``reads_reports`` as its answer to the request says."""

    broker: MemoryBroker
    events: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.broker.consume(PORTAL_EVENTS, lambda delivery: self.events.append(delivery.message))

    def of_claim(self, *, reads_reports: bool, lease_s: float = 60.0) -> ClaimEvents:
        granted = ClaimGranted(
            ticket_id=7, claim_id="c", attempt=1, lease_s=lease_s, reads_reports=reads_reports
        )
        return ClaimEvents(self.broker, granted)

    def kinds(self) -> list[type[Message]]:
        return [type(event) for event in self.events]

    def said(self) -> list[str]:
        """The texts of all lines, in order."""
        return [
            text
            for event in self.events
            for text in (
                [line.text for line in event.lines]
                if isinstance(event, ClaimReported)
                else [event.text]
                if isinstance(event, ClaimLogged)
                else []
            )
        ]


@pytest.fixture
def told() -> Iterator[Told]:
    broker = MemoryBroker()
    yield Told(broker)
    broker.close()


def _is_last(told: Told, text: str) -> bool:
    return told.said()[-1:] == [text]


def test_a_stage_is_told_in_one_message(told: Told) -> None:
    events = told.of_claim(reads_reports=True)

    with events.heartbeats():
        events.log("Reading.")
        events.progressed((0.0, 0.1), 0.5)
        events.progressed((0.0, 0.1), 1.0)
        events.log("Read.", "warning")

    wait_until(lambda: told.events, 20)
    (report,) = told.events
    assert isinstance(report, ClaimReported)
    assert [(line.level, line.text) for line in report.lines] == [
        ("info", "Reading."),
        ("warning", "Read."),
    ]
    assert [(p.chunk_start, p.chunk_end, p.progress) for p in report.parts] == [(0.0, 0.1, 1.0)]


def test_what_was_gathered_is_told_while_the_work_goes_on(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim_events, "GATHER_S", 0.01)
    events = told.of_claim(reads_reports=True)

    with events.heartbeats():
        for text in ("One.", "Two."):
            events.log(text)
            wait_until(partial(_is_last, told, text), 20)

    assert told.kinds() == [ClaimReported, ClaimReported]


def test_lines_stay_in_order_around_those_that_travel_alone(told: Told) -> None:
    events = told.of_claim(reads_reports=True)
    long = "x" * 10_000

    with events.heartbeats():
        events.log("One.")
        events.log("Two.", attachments=(MAP,))
        events.log("Three.")
        events.log(long)
        events.log("Four.")
    events.failed("It failed.")

    wait_until(lambda: ClaimFailed in told.kinds(), 20)
    assert told.said() == ["One.", "Two.", "Three.", long, "Four."]
    assert told.kinds()[-1] is ClaimFailed


def test_many_lines_fit_into_messages(told: Told) -> None:
    events = told.of_claim(reads_reports=True)
    lines = ["\x1f" * 1000] * 30

    with events.heartbeats():
        for line in lines:
            events.log(line)

    wait_until(lambda: len(told.said()) == len(lines), 20)
    assert all(len(encode(event)[1]) <= MAX_BODY_BYTES for event in told.events)
    assert len(told.events) < len(lines)


def test_an_older_portal_gets_the_messages_that_it_knows(told: Told) -> None:
    events = told.of_claim(reads_reports=False)

    with events.heartbeats():
        events.log("One.")
        events.progressed((0.0, 0.1), 1.0)

    wait_until(lambda: len(told.events) == 2, 20)
    assert told.kinds() == [ClaimLogged, ClaimProgressed]


def test_a_line_after_the_work_is_told_at_once(told: Told) -> None:
    events = told.of_claim(reads_reports=True)
    with events.heartbeats():
        pass

    events.log("Tried again in a while.", "warning")

    wait_until(lambda: told.kinds() == [ClaimLogged], 20)


@pytest.mark.parametrize("reads_reports", [True, False])
def test_a_quiet_stage_renews_the_lease(told: Told, *, reads_reports: bool) -> None:
    events = told.of_claim(reads_reports=reads_reports, lease_s=0.03)

    with events.heartbeats():
        wait_until(lambda: told.kinds().count(ClaimHeartbeat) > 2, 20)
