"""The states of an intake; what they mean is told in ``store``."""

from enum import StrEnum


class State(StrEnum):
    """The state of an intake."""

    COMING = "coming"
    READING = "reading"
    PLACING = "placing"
    WAITING = "waiting"
    DONE = "done"
    REFUSED = "refused"
