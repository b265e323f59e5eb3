"""A portal whose database session ends while it writes to the disk."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from tortoise.connection import get_connection

from support.portals import Portal

_END_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle in transaction'
"""


@dataclass
class Held:
    """The first call of a method of the datastore, which waits as a slow disk does."""

    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)


def hold_first(
    portal: Portal, monkeypatch: pytest.MonkeyPatch, method: str, in_task: str = ""
) -> Held:
    """Hold the first call of ``method``; with ``in_task``, the first in the task of that name."""
    datastore: Any = portal.components.datastore
    act: Callable[..., Awaitable[Any]] = getattr(datastore, method)
    held = Held()

    async def once(*args: Any, **kwargs: Any) -> Any:
        task = asyncio.current_task()
        is_other = bool(in_task) and (task is None or task.get_name() != in_task)
        if is_other or held.arrived.is_set():
            return await act(*args, **kwargs)
        held.arrived.set()
        await asyncio.wait_for(held.go_on.wait(), 60)
        try:
            return await act(*args, **kwargs)
        finally:
            held.done.set()

    monkeypatch.setattr(datastore, method, once)
    return held


async def lose_transactions() -> None:
    """The database ends the session of each open transaction, as it does when it fails over."""
    assert await get_connection("default").execute_query_dict(_END_OTHERS)
