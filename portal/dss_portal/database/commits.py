"""Runs functions after the commit of a transaction, for example to wake the task that sends the messages which the
transaction has stored.  After a rollback they are not run.
"""

from collections.abc import Callable
from contextvars import ContextVar

Act = Callable[[], None]


class Commit:
    """Collects the functions to call after one outermost transaction has been committed.  ``is_over``: the transaction
    has ended.
    """

    def __init__(self) -> None:
        self._acts: dict[Act, None] = {}  # an ordered set
        self.is_over = False

    def call_after(self, act: Act) -> None:
        self._acts[act] = None

    def end(self, *, committed: bool) -> None:
        """Note that the transaction has ended.  If it was committed, call each collected function once; otherwise call
        none.
        """
        self.is_over = True
        for act in self._acts if committed else ():
            act()


_current: ContextVar[Commit | None] = ContextVar("commit", default=None)


def begin() -> Commit:
    """Start to collect functions for a transaction that the current asyncio task has begun.  The caller must call
    ``end`` of the returned Commit.
    """
    commit = Commit()
    _current.set(commit)
    return commit


def after_commit(act: Act) -> None:
    """Call ``act`` after the caller's outermost transaction is committed, once even if it is given several times; never
    if the transaction is rolled back.

    Outside a transaction every statement commits by itself, so ``act`` is called at once.  ``act`` must neither block
    nor raise.
    """
    commit = _current.get()
    if commit is None or commit.is_over:
        act()
    else:
        commit.call_after(act)
