"""The base of the blocking clients: a connection that is closed at the end of a ``with`` block."""

from types import TracebackType
from typing import Self

from dss_client.rest import RestClient


class Session:
    """The connection of one user to one server.  Not thread-safe."""

    def __init__(self, rest: RestClient) -> None:
        self._rest = rest

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._rest.close()
