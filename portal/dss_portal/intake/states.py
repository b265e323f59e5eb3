"""The states of an intake; ``store`` explains them."""

from enum import StrEnum


class State(StrEnum):
    """The state of an intake."""

    COMING = "coming"
    READING = "reading"
    PLACING = "placing"
    WAITING = "waiting"
    DONE = "done"
    REFUSED = "refused"
