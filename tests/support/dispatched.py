# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Deliveries and folders for the tests of a dispatcher."""

from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from dss_broker.messages import (
    Message,
)
from dss_datastore import layout


@dataclass(frozen=True, kw_only=True)
class InHand:
    """A delivery as a handler gets it."""

    message: Message
    attempt: int = 1
    message_id: str = "delivery1"
    redelivered: bool = False
    deliveries: int = 1
    age_s: float | None = None
    parked_reason: str | None = None

    def reply(self, message: Message) -> "Future[None]":
        raise AssertionError(f"nobody asked for {message}")


def work(datastore: Path, claim_id: str = "claim1") -> Path:
    return datastore / layout.work_dir(42, claim_id)
