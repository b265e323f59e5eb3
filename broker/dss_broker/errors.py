"""What can go wrong between a program and its broker."""


class TryAgainLater(Exception):
    """A handler cannot do its work now, but may in a while: delayed retry, bounded."""


class ReturnToQueue(Exception):
    """A handler ends unfinished because its program does: for another one, as if it had not begun."""


class MalformedMessage(Exception):
    """The bytes are no message that this version knows."""


class Unroutable(Exception):
    """Nobody has ever declared a queue for this message."""


class MessageRefused(Exception):
    """The broker takes others, but never this message: too large, a key that cannot be written, no right to it."""

    def __init__(self, reason: str, *, may_change: bool = False) -> None:
        """``may_change``: an operator can change that, so it is worth trying again."""
        super().__init__(reason)
        self.may_change = may_change


class ReplyTimeout(Exception):
    """No reply came within the time given."""


class BrokerClosed(Exception):
    """The broker was closed while something was still to be published or answered."""


class BrokerAway(Exception):
    """No broker answers now."""


class BrokerRefuses(BrokerAway):
    """The broker is there and does not let us in: a sentence that names the setting."""


class DeadLettersBusy(Exception):
    """Somebody else has the dead letters in hand."""
