"""The user of an action, as far as stores need to know."""

from typing import Protocol


class Person(Protocol):
    """A user's number and rights: the row of the account, or what is cached of it."""

    @property
    def id(self) -> int: ...

    @property
    def sysadmin(self) -> bool: ...
