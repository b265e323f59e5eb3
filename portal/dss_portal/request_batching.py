"""Combines simultaneous requests into one call, and so into one transaction and one commit."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

A = TypeVar("A")
R = TypeVar("R")

Work = Callable[[Sequence[A]], Awaitable[Sequence[R | Exception]]]
"""Gets questions and returns their answers in the same order.  An answer that is an exception is raised by ``ask``."""


class RequestBatcher(Generic[A, R]):
    """Collects the questions that are asked while ``work`` runs, and passes them to the next call of ``work``, at most
    ``most`` at a time.
    """

    def __init__(self, work: Work[A, R], most: int) -> None:
        self._work = work
        self._most = most
        self._asked: list[tuple[A, asyncio.Future[R]]] = []
        self._task: asyncio.Task[None] | None = None

    async def ask(self, question: A) -> R:
        """The answer of ``work`` to ``question``.  Raises the error of ``work``, or the answer if that is an error.
        The caller may be cancelled.
        """
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._asked.append((question, answer))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._rounds())
        return await answer

    async def _rounds(self) -> None:
        while self._asked:
            taken, self._asked = self._asked[: self._most], self._asked[self._most :]
            wanted = [(question, answer) for question, answer in taken if not answer.done()]
            if wanted:
                await self._round(wanted)

    async def _round(self, wanted: Sequence[tuple[A, "asyncio.Future[R]"]]) -> None:
        try:
            found = await self._work([question for question, _ in wanted])
        except Exception as error:  # every question gets the error
            found = [error] * len(wanted)
        for (_, answer), one in zip(wanted, found, strict=True):
            if answer.done():
                continue
            if isinstance(one, Exception):
                answer.set_exception(one)
            else:
                answer.set_result(one)
