"""The part of a user's account that stores need."""

from typing import Protocol


class Person(Protocol):
    """A user's number and rights, from the database row or from a cache."""

    @property
    def id(self) -> int: ...

    @property
    def sysadmin(self) -> bool: ...
