"""Encodes messages to bytes and decodes them.

A message is a JSON object of its fields; its class name is sent beside it.  Unknown fields are ignored, so that a newer
sender may add one.
"""

from typing import get_args

import msgspec

from dss_broker.errors import MalformedMessage
from dss_broker.messages import Message

DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""Exceptions that decoding the bytes of another program may raise."""

MAX_BODY_BYTES = 64 * 1024
"""Limit for the body of a message.  Real ones are much smaller: a descriptor has a few kB, and of images only the paths
are sent.
"""

_CLASSES: dict[str, type[Message]] = {c.__name__: c for c in get_args(Message)}


def encode(message: Message) -> tuple[str, bytes]:
    """The type name and the body of a message.

    Raises ValueError if the body is larger than MAX_BODY_BYTES or cannot be decoded again, for instance because a
    field is NaN, which JSON does not have.
    """
    body = msgspec.json.encode(message)
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(
            f"{type(message).__name__} has {len(body)} bytes, {MAX_BODY_BYTES} at most"
        )
    try:
        msgspec.json.decode(body, type=type(message))
    except msgspec.MsgspecError as error:
        raise ValueError(f"{type(message).__name__} cannot travel: {error}") from error
    return type(message).__name__, body


def decode(type_name: str | None, body: bytes) -> Message:
    """The message with the class name ``type_name`` and the JSON ``body``.

    Raises MalformedMessage if the class is unknown or the body does not fit it.
    """
    message_class = _CLASSES.get(type_name or "")
    if message_class is None:
        raise MalformedMessage(f"unknown message type {type_name!r}")
    try:
        return msgspec.json.decode(body, type=message_class)
    except DECODE_ERRORS as error:
        raise MalformedMessage(f"{type_name}: {error}") from error
