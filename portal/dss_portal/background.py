"""The portal's tasks beside its requests, each kept going: see ``dss_process.supervision``."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from dss_process.supervision import Health

Work = Callable[[], Coroutine[Any, Any, None]]


class EndedBySelf(RuntimeError):
    """A task that is to go on for ever has returned, or was cancelled by somebody else."""


class Background:
    """Tasks that are begun again when they end by an error, until ``end``."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._kept: list[Health] = []
        self._ending = False

    def begin(self, name: str, work: Work, *, returns: bool = False) -> asyncio.Task[None]:
        """``returns``: the work is done when it returns; otherwise it is to go on for ever."""
        health = Health(name=name)
        self._kept.append(health)
        task = asyncio.create_task(self._keep(health, work, returns=returns), name=name)
        self._tasks.add(task)
        return task

    def problems(self) -> list[str]:
        """A sentence for each task that has ended by an error of late."""
        return [sentence for health in self._kept if (sentence := health.problem())]

    async def end(self) -> None:
        """Cancel until they have ended: asyncio.wait_for of Python 3.11 can lose a cancellation."""
        self._ending = True
        left = set(self._tasks)
        while left:
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=0.5)

    async def _keep(self, health: Health, work: Work, *, returns: bool) -> None:
        while True:
            health.begins()
            error = await self._run(work, returns=returns)
            if error is None:
                health.ends()
                return
            await asyncio.sleep(health.fails(error))

    async def _run(self, work: Work, *, returns: bool) -> BaseException | None:
        """What ended the work; None if it is done.  Raises CancelledError only if the portal ends."""
        try:
            await work()
        except asyncio.CancelledError:
            if self._ending:
                raise
            return EndedBySelf("it was cancelled")
        except Exception as error:
            return error
        return None if returns or self._ending else EndedBySelf("it returned")
