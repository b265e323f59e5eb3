"""Runs the portal's background tasks.  A task that fails is logged, counted and started again after a backoff, by the
rules of ``dss_process.supervision``.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from dss_observability import metrics
from dss_process.supervision import Health, Supervisor

Work = Callable[[], Coroutine[Any, Any, None]]


class TaskEnded(RuntimeError):
    """A background task has returned, or was cancelled, although the portal has not begun to stop."""


class Background:
    """Runs background tasks until ``end``.  A task that ends with an error or too early is started again after a
    backoff.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._supervised: list[Health] = []
        self._supervisors: list[Supervisor] = []
        self._ending = False
        self.done: set[str] = set()
        """The names of the tasks begun with ``returns`` whose work has returned."""

    def begin(self, name: str, work: Work, *, returns: bool = False) -> asyncio.Task[None]:
        """Start and supervise a task, and return the asyncio task, which lasts over restarts of ``work``.

        With ``returns``, the task is done when ``work`` returns; otherwise ``work`` should run until ``end``.
        """
        health = Health(name=name)
        self._supervised.append(health)
        metrics.TASK_FAILURES.labels(name)
        task = asyncio.create_task(self._supervise(health, work, returns=returns), name=name)
        self._tasks.add(task)
        return task

    def report(self, threads: Supervisor) -> None:
        """Count the problems of these threads among the ``problems`` of the tasks."""
        self._supervisors.append(threads)

    def problems(self) -> list[str]:
        """A sentence for each task or thread that ended with an error and has not run stably since."""
        found = [sentence for health in self._supervised if (sentence := health.problem())]
        return found + [sentence for each in self._supervisors for sentence in each.problems()]

    async def end(self) -> None:
        """Cancel the tasks and wait until all have ended.  Cancels repeatedly, because asyncio.wait_for of Python
        3.11 can lose a cancellation.
        """
        self._ending = True
        left = set(self._tasks)
        while left:
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=0.5)

    async def _supervise(self, health: Health, work: Work, *, returns: bool) -> None:
        while True:
            health.started()
            error = await self._run(work, returns=returns)
            if error is None:
                health.ended()
                self.done.add(health.name)
                return
            metrics.TASK_FAILURES.labels(health.name).inc()
            await asyncio.sleep(health.failed(error))

    async def _run(self, work: Work, *, returns: bool) -> BaseException | None:
        """Run the work and return the error that ended it; None if it is done.  Raises CancelledError only if the
        portal stops.
        """
        try:
            await work()
        except asyncio.CancelledError:
            if self._ending:
                raise
            return TaskEnded("it was cancelled")
        except Exception as error:
            return error
        return None if returns or self._ending else TaskEnded("it returned")
