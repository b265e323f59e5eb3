"""A message in hand, for handlers that are called without a broker."""

from concurrent.futures import Future
from dataclasses import dataclass

from dss_broker.messages import Message


@dataclass(frozen=True, kw_only=True)
class Heard:
    message: Message
    message_id: str = "m"
    redelivered: bool = False
    deliveries: int = 1
    attempt: int = 1
    age_s: float | None = None
    parked_reason: str | None = None

    def reply(self, message: Message) -> "Future[None]":
        raise AssertionError(f"nobody asked for {message}")
