"""Parses the output of an algorithm's process: progress messages, and text for the provider."""

import codecs
import json
import math
from collections.abc import Callable
from typing import TypeAlias

LONGEST_MESSAGE = 4096
LONGEST_TEXT = 500
DETAIL_CHARS = 4000

ProgressListener: TypeAlias = Callable[[float, str], None]


class ProcessOutput:
    """The parsed output of a process.  ``on_progress`` is called for each progress message; ``detail`` is the end of the other
    output, limited in length because a process may write without end.

    A message is a line of JSON on standard output: ``{"fraction": 0.3, "text": "Smoothing"}``.
    """

    def __init__(self, on_progress: ProgressListener) -> None:
        self.detail = ""
        self._on_progress = on_progress
        self._line = b""
        self._decoders = [codecs.getincrementaldecoder("utf-8")("replace") for _ in range(2)]

    def text(self, data: bytes) -> None:
        """Add output from standard error."""
        self._keep(self._decoders[0].decode(data))

    def message(self, data: bytes) -> None:
        """Add output from standard output.  An incomplete line waits for its rest, up to LONGEST_MESSAGE."""
        *lines, rest = (self._line + data).split(b"\n")
        others = [line for line in lines if not self._parse(line)]
        if others:
            self._keep(self._decoders[1].decode(b"\n".join([*others, b""])))
        if len(rest) > LONGEST_MESSAGE:
            self._keep(self._decoders[1].decode(rest))
            rest = b""
        self._line = rest

    def _parse(self, line: bytes) -> bool:
        """Pass the line to ``on_progress`` and return True if it is a message.  Only lines that begin like a JSON object are
        parsed, because a program may write millions of lines.
        """
        is_object = line.lstrip()[:1] == b"{" and len(line) <= LONGEST_MESSAGE
        message = _message(line) if is_object else None
        if message is None:
            return False
        self._on_progress(*message)
        return True

    def _keep(self, text: str) -> None:
        self.detail = (self.detail + text)[-DETAIL_CHARS:]


def _message(line: bytes) -> tuple[float, str] | None:
    """The fraction that is done, 0 to 1, and the text of a message, shortened to one line; None if ``line`` is no
    message.
    """
    try:
        found = json.loads(line)
        fraction, text = float(found["fraction"]), str(found.get("text", ""))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return None
    if math.isnan(fraction):
        fraction = 0.0
    return min(max(fraction, 0.0), 1.0), one_line(text)[:LONGEST_TEXT]


def one_line(text: str) -> str:
    """``text`` as one line, without characters that a log, an XML file or a terminal cannot represent."""
    letters = (letter if letter.isprintable() else " " for letter in text)
    return " ".join("".join(letters).split())
