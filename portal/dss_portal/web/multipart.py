"""Parses multipart forms piece by piece, with a limit on the data that is kept in memory."""

import re
from collections.abc import Iterator

from werkzeug.sansio.multipart import (
    Data,
    Epilogue,
    Field,
    File,
    MultipartDecoder,
    NeedData,
    Preamble,
    State,
)

from dss_portal.refusals import Refused

SLICE_BYTES = 64 * 1024
MAX_HEADER_BYTES = 16 * 1024
MAX_BOUNDARY_BYTES = 200  # RFC 2046 allows 70
MAX_PARTS = 100
MAX_BLANKS = 64
"""Number of blanks after a boundary up to which the decoder waits for the end of the line; RFC 2046 allows any number,
and no client sends one.
"""


class BoundedDecoder(MultipartDecoder):
    """Werkzeug's decoder of multipart forms with limits.  Werkzeug's own keeps any amount of data before, between and
    after the parts.

    ``max_around_bytes`` limits the data before the first part, and the data after the last part.  Raises Refused if
    ``boundary`` is empty or longer than MAX_BOUNDARY_BYTES.
    """

    def __init__(self, boundary: str, max_around_bytes: int) -> None:
        if not boundary:
            raise Refused("The multipart form names no boundary.")
        if len(boundary) > MAX_BOUNDARY_BYTES:
            raise Refused(f"A boundary may have {MAX_BOUNDARY_BYTES} characters at most.")
        super().__init__(boundary.encode(errors="replace"), max_parts=MAX_PARTS)
        self._delimiter = b"--" + self.boundary
        self._longest_bytes = len(self._delimiter) + len("\r\n") + MAX_BLANKS
        begun = rb"(?:\r\n|\n|\r)--%s(?:-|[^\S\n\r]{0,%d})\Z"
        self._begun_boundary = re.compile(begun % (re.escape(self.boundary), MAX_BLANKS))
        self._max_around_bytes = max_around_bytes
        self._after_bytes = 0

    def pieces(self, received: bytes) -> Iterator[Field | File | Data]:
        """Parse the next bytes of the form, and yield what they complete: the head of a part (Field or File), or a
        piece of its content (Data).

        Raises ValueError if it is not a multipart form, Refused if there is too much data around its parts or in the
        header of a part, and Werkzeug's RequestEntityTooLarge if it has more than MAX_PARTS parts.
        """
        if self._is_all_data(received):
            yield from self._data(received)
            return
        for start in range(0, len(received), SLICE_BYTES):
            self.receive_data(received[start : start + SLICE_BYTES])
            yield from self._events()
            self._bound()

    def end(self) -> Iterator[Field | File | Data]:
        """Parse what is left after the last byte, and yield it as ``pieces`` does.  Raises ValueError if the form is
        incomplete.
        """
        self.receive_data(None)
        yield from self._events()

    def _last_partial_boundary_index(self, data: bytes | bytearray) -> int:
        """The offset in ``data`` up to which the bytes certainly belong to the part, because a boundary may begin
        there.

        Werkzeug overlooks two kinds of boundaries.  If only the first of the two dashes at the end of the last boundary
        has arrived, the file would get the first byte of the line break before it.  The other kind is a boundary with
        blanks after it.
        """
        begun = self._begun_boundary.search(data, max(0, len(data) - self._longest_bytes))
        return begun.start() if begun else super()._last_partial_boundary_index(data)

    def _is_all_data(self, received: bytes) -> bool:
        """True if ``received`` contains no boundary, and neither does its junction with the buffered bytes.  Then it
        belongs to the present part, except for its end, in which a boundary may begin.
        """
        if self.state is not State.DATA or len(received) <= self._longest_bytes:
            return False
        border = bytes(self.buffer) + received[: len(self._delimiter)]
        return self._delimiter not in border and self._delimiter not in received

    def _data(self, received: bytes) -> Iterator[Data]:
        """Yield data of the present part without copying ``received``.  The end of ``received``, in which a boundary
        may begin, stays in the buffer.
        """
        if self.buffer:
            yield Data(data=bytes(self.buffer), more_data=True)
            self.buffer.clear()
        end = received[-self._longest_bytes :]
        kept_bytes = len(end) - self._last_partial_boundary_index(end)
        if kept_bytes:
            self.buffer += end[-kept_bytes:]
            received = received[:-kept_bytes]
        yield Data(data=received, more_data=True)

    def _events(self) -> Iterator[Field | File | Data]:
        while not isinstance(event := self.next_event(), NeedData | Epilogue):
            if isinstance(event, Preamble):
                self._refuse_beyond(
                    len(event.data), self._max_around_bytes, "before its first part"
                )
            if isinstance(event, Field | File) and event.name is None:
                raise ValueError("a part without a name")
            if isinstance(event, Field | File | Data):
                yield event

    def _bound(self) -> None:
        match self.state:
            case State.PREAMBLE:
                waiting = len(self.buffer)
                self._refuse_beyond(waiting, self._max_around_bytes, "before its first part")
            case State.PART:
                self._refuse_beyond(len(self.buffer), MAX_HEADER_BYTES, "in the header of a part")
            case State.EPILOGUE:
                self._after_bytes += len(self.buffer)
                self.buffer.clear()
                limit = self._max_around_bytes
                self._refuse_beyond(self._after_bytes, limit, "after its last part")

    @staticmethod
    def _refuse_beyond(size_bytes: int, limit_bytes: int, where: str) -> None:
        if size_bytes > limit_bytes:
            raise Refused(f"The form has more than {limit_bytes} bytes {where}.", 413)
