"""Errors of the local stack.  The text of each error is a sentence for the user."""


class StackError(Exception):
    """The stack cannot do what was requested."""


class ServerMissing(StackError):
    """A server is not installed on this machine."""


class StartFailed(StackError):
    """A process ended, or did not become ready in time."""
