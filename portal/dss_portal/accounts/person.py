"""The interface of a user account for functions that need only its number and rights."""

from typing import Protocol


class Person(Protocol):
    """A user's number and rights; implemented by the row of the database and by cached copies."""

    @property
    def id(self) -> int: ...

    @property
    def sysadmin(self) -> bool: ...
