"""What may go wrong with the local stack.  Every text is a sentence for the person at the terminal."""


class StackError(Exception):
    """The stack cannot do what was asked."""


class ServerMissing(StackError):
    """The programs of a server are not installed on this machine."""


class StartFailed(StackError):
    """A process ended, or did not become ready in time."""
