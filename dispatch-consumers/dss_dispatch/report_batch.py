"""Collects events of a claim that are to be sent in one message."""

from dataclasses import dataclass, field

from dss_broker.messages import ClaimReported, ReportedLine, ReportedPart

MOST_CHARACTERS = 8_000
"""Largest number of characters of all lines together.  JSON writes a character in six bytes at most, and a message has
at most 64 kB.
"""

MOST_LINES = 100


@dataclass(kw_only=True)
class ReportBatch:
    """Log lines, in order, and progress for one ClaimReported.  ``parts`` has the latest progress (0 to 1) of each part
    of the work, which is given by its start and end on the progress bar.
    """

    lines: list[ReportedLine] = field(default_factory=list)
    parts: dict[tuple[float, float], float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.lines or self.parts)

    def takes(self, line: ReportedLine) -> bool:
        """True if the line has room in the message."""
        size = sum(len(each.text) for each in (*self.lines, line))
        return size <= MOST_CHARACTERS and len(self.lines) < MOST_LINES

    def report(self, ticket_id: int, claim_id: str) -> ClaimReported:
        parts = (
            ReportedPart(chunk_start=start, chunk_end=end, progress=progress)
            for (start, end), progress in self.parts.items()
        )
        return ClaimReported(
            ticket_id=ticket_id, claim_id=claim_id, lines=tuple(self.lines), parts=tuple(parts)
        )
