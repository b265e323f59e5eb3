"""The drawings of the documentation show what the code does, and say it to readers who do not see them."""

import re
import sys
from importlib import import_module
from typing import get_args
from xml.etree import ElementTree

import pytest

from conftest import CHECKOUT
from dss_broker import topology
from dss_broker.messages import Message
from dss_portal.models import Status
from dss_portal.tickets import lifecycle

sys.path.insert(0, str(CHECKOUT / "docs"))
states, queues = import_module("states_drawing"), import_module("topology_drawing")

NAMES = {kind.__name__ for kind in get_args(Message)}


def test_every_message_is_drawn_with_its_sender_and_its_reader() -> None:
    found = [*queues.flows(), *queues.replies()]
    drawn = {name for flow in found for names in flow.sent.values() for name in names}

    assert drawn == NAMES
    assert all(flow.reader and flow.sent for flow in found)


@pytest.mark.parametrize(
    "told",
    [
        "portal sends TicketReady through dss.tickets to dss.dispatch.SERVICE, which dispatcher reads.",
        "dispatcher sends RunInference through dss.tickets to dss.inference.BUNDLE, which worker reads.",
        "portal sends LeaseOverdue through dss.tickets to dss.portal.events, which portal reads.",
        (
            "portal sends ClaimGranted, ClaimRefused through dss.replies to "
            "dss.replies.dispatch.INSTANCE.PROCESS, which dispatcher reads."
        ),
    ],
)
def test_the_drawing_of_queues_is_told_in_sentences(told: str) -> None:
    assert told in queues.described()


def test_a_queue_that_is_added_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    added = topology.Subscription(queue="dss.portal.news", keys=("claim.event.*",))
    monkeypatch.setattr(topology, "NEWS", added, raising=False)

    assert "dss.portal.news" in queues.drawing()


@pytest.mark.parametrize(
    ("before", "after", "events"),
    [
        ("init", "ready", ["Submitted", "Requeued"]),
        ("ready", "claimed", ["Claimed"]),
        ("claimed", "failed", ["Failed", "Abandoned"]),
        ("claimed", "timeout", ["Lease lapsed, last attempt", "Run overdue, last attempt"]),
        ("timeout", "ready", ["Retried", "Requeued"]),
    ],
)
def test_a_change_of_state_is_drawn(before: str, after: str, events: list[str]) -> None:
    assert states.arrows()[before, after] == events


def test_a_change_that_has_no_arrow_ends_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        lifecycle, "_retried", lambda _: lifecycle.TicketState(status=Status.CLAIMED)
    )

    with pytest.raises(ValueError, match="Changes and routes differ"):
        states.drawing()


@pytest.mark.parametrize("drawing", [states, queues], ids=["states", "queues"])
def test_a_drawing_has_a_title_and_a_text_and_keeps_within_its_frame(drawing: object) -> None:
    made: str = drawing.drawing()  # type: ignore[attr-defined]  # a module of docs, which mypy does not read
    svg = ElementTree.fromstring(made)[0]
    width, height = (int(n) for n in svg.attrib["viewBox"].split()[2:])
    boxes = [e.attrib for e in svg.iter() if e.tag.endswith("rect")]

    assert "\n\n" not in made, "Markdown ends a block of HTML at an empty line"
    assert [e.tag.rpartition("}")[2] for e in svg][:2] == ["title", "desc"]
    assert all(int(b["x"]) + int(b["width"]) <= width for b in boxes)
    assert all(int(b["y"]) + int(b["height"]) <= height for b in boxes)


def test_the_colours_follow_the_scheme_of_the_page() -> None:
    rules = (CHECKOUT / "docs/pages/assets/drawings.css").read_text(encoding="utf-8")

    for rule in re.findall(
        r"^\.drawing (?:text|\.line|marker)[^{]*\{([^}]*)\}", rules, re.MULTILINE
    ):
        assert "var(--md-default-fg-color" in rule
