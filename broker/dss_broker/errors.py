"""Errors that a broker raises, and those with which a handler says what is to happen to its message."""


class TryAgainLater(Exception):
    """Raised by a handler that cannot do its work now: the message is retried after a delay, a few times at most."""


class ReturnToQueue(Exception):
    """Raised by a handler that ends early because its program stops: the message is requeued for another program."""


class MalformedMessage(Exception):
    """The bytes are not a message that this version knows."""


class Unroutable(Exception):
    """No queue is bound for this message."""


class MessageRefused(Exception):
    """The broker refuses this message but not others: it is too large, its routing key is invalid, or the user may not
    publish it.
    """

    def __init__(self, reason: str, *, may_change: bool = False) -> None:
        """``may_change``: an operator can change the cause, so a retry may succeed."""
        super().__init__(reason)
        self.may_change = may_change


class ReplyTimeout(Exception):
    """No reply came within the time given."""


class BrokerClosed(Exception):
    """The broker, or the conversation that waits for a reply, was closed before a message was stored, a subscription
    began or a reply came.
    """


class BrokerAway(Exception):
    """The broker does not answer."""


class BrokerRefuses(BrokerAway):
    """The broker refuses the connection; the text is a sentence that names the setting."""


class DeadLettersBusy(Exception):
    """Another operator holds the dead letters."""
