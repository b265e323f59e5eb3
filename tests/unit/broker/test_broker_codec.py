from typing import get_args

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from dss_broker import messages as m
from dss_broker.codec import decode, encode
from dss_broker.errors import MalformedMessage
from dss_broker.messages import Message

ANNOUNCED = st.builds(
    m.ServiceAnnounced, descriptor=st.dictionaries(st.text(), st.lists(st.booleans()))
)
OTHERS = [st.from_type(c) for c in get_args(Message) if c is not m.ServiceAnnounced]


@given(st.one_of(ANNOUNCED, *OTHERS))
def test_every_message_that_may_set_out_survives_the_journey(message: Message) -> None:
    try:
        type_name, body = encode(message)
    except ValueError:
        reject()

    assert decode(type_name, body) == message


@pytest.mark.parametrize("fraction", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_refused_by_the_sender(fraction: float) -> None:
    progressed = m.InferenceProgressed(ticket_id=1, claim_id="c", fraction=fraction, stage="s")

    with pytest.raises(ValueError, match="cannot travel"):
        encode(progressed)


def test_a_field_that_a_newer_sender_added_is_ignored() -> None:
    body = b'{"ticket_id": 1, "claim_id": "c", "mood": "good"}'

    assert decode("ClaimHeartbeat", body) == m.ClaimHeartbeat(ticket_id=1, claim_id="c")


def test_a_field_that_an_older_sender_did_not_know_gets_its_default() -> None:
    body = b'{"ticket_id": 1, "service": "s", "service_hash": "h"}'

    assert decode("TicketReady", body) == m.TicketReady(ticket_id=1, service="s", service_hash="h")


@pytest.mark.parametrize(
    ("type_name", "body", "reason"),
    [
        (None, b"{}", "unknown message type None"),
        ("Nonsense", b"{}", "unknown message type 'Nonsense'"),
        ("ClaimHeartbeat", b"\xff", "ClaimHeartbeat: "),
        ("ClaimHeartbeat", b"{}", "missing required field `ticket_id`"),
        ("ClaimHeartbeat", b'{"ticket_id": "1", "claim_id": "c"}', "Expected `int`, got `str`"),
    ],
)
def test_bytes_that_are_no_message_are_refused_with_the_reason(
    type_name: str | None, body: bytes, reason: str
) -> None:
    with pytest.raises(MalformedMessage, match=reason):
        decode(type_name, body)
