"""Every message has exactly one program that may send it, so that a new one is not forgotten."""

import re
from typing import get_args

import pytest

from dss_broker import messages as m
from dss_broker.rights import USERS
from dss_broker.topology import EXCHANGE, routing_key

SENDERS = {
    m.TicketReady: "dss-portal",
    m.TicketWithdrawn: "dss-portal",
    m.LeaseOverdue: "dss-portal",
    m.CheckResults: "dss-portal",
    m.ClaimTicket: "dss-dispatch",
    m.ClaimProgressed: "dss-dispatch",
    m.ClaimLogged: "dss-dispatch",
    m.ClaimReported: "dss-dispatch",
    m.ClaimHeartbeat: "dss-dispatch",
    m.ClaimSucceeded: "dss-dispatch",
    m.ClaimFailed: "dss-dispatch",
    m.RunInference: "dss-dispatch",
    m.ServiceAnnounced: "dss-dispatch",
    m.WorkerAnnounced: "dss-inference",
    m.ReadUpload: "dss-portal",
    m.UploadRead: "dss-dispatch",
    m.UploadRefused: "dss-dispatch",
    m.ReaderAnnounced: "dss-dispatch",
}
REPLIES = {
    m.ClaimGranted,
    m.ClaimRefused,
    m.ResultsAccepted,
    m.ResultsRefused,
    m.InferenceProgressed,
    m.InferenceFinished,
    m.InferenceFailed,
}


def key_of(message: type[m.Message]) -> str:
    blank = object.__new__(message)
    for name in ("service", "bundle"):
        if name in message.__annotations__:
            object.__setattr__(blank, name, "lung")
    return routing_key(blank)


@pytest.mark.parametrize(("message", "sender"), SENDERS.items())
def test_a_message_may_be_sent_by_its_program_alone(message: type[m.Message], sender: str) -> None:
    key = key_of(message)

    assert {u for u, r in USERS.items() if re.search(r.topics[EXCHANGE].write, key)} == {sender}


def test_no_message_is_forgotten() -> None:
    assert SENDERS.keys() | REPLIES == set(get_args(m.Message))
