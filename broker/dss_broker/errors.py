"""Errors between a program and its broker."""


class TryAgainLater(Exception):
    """A handler cannot do its work now: retry with a delay, a bounded number of times."""


class ReturnToQueue(Exception):
    """A handler ends unfinished because its program stops: requeue the message for another one."""


class MalformedMessage(Exception):
    """The bytes are not a message that this version knows."""


class Unroutable(Exception):
    """No queue is bound for this message."""


class MessageRefused(Exception):
    """The broker refuses this message, not others: too large, an invalid routing key, a missing permission."""

    def __init__(self, reason: str, *, may_change: bool = False) -> None:
        """``may_change``: an operator can change the cause, so a retry may succeed."""
        super().__init__(reason)
        self.may_change = may_change


class ReplyTimeout(Exception):
    """No reply came within the time given."""


class BrokerClosed(Exception):
    """The broker was closed while something was still to be published or answered."""


class BrokerAway(Exception):
    """The broker does not answer."""


class BrokerRefuses(BrokerAway):
    """The broker refuses the connection; the text is a sentence that names the setting."""


class DeadLettersBusy(Exception):
    """Another operator holds the dead letters."""
