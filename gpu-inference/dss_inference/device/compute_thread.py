"""The one thread of a worker that computes on the device.  Other threads read and write images at the same time."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any, TypeVar

from dss_inference.device.memory import Memory, ProcessMemory
from dss_inference.errors import Cancelled, IsCancelled
from dss_observability import metrics

POLL_S = 0.25
"""Interval at which a waiting caller checks whether it is cancelled."""

T = TypeVar("T")


class ComputeThread:
    """Runs functions one after another in a thread of its own.  May be called from any other thread.

    It is a thread and not a lock because OpenMP keeps a pool of threads, and the allocator an arena, for each thread
    that computes.
    """

    def __init__(self, memory: Memory | None = None) -> None:
        self.memory = memory or ProcessMemory()
        self._waiting: SimpleQueue[tuple[Future[Any], Context, Callable[[], Any]]] = SimpleQueue()
        self._starting = threading.Lock()
        self._started = False

    def __call__(self, work: Callable[[], T], cancelled: IsCancelled) -> T:
        """Run ``work`` in the thread after the work that waits already, and return its result or raise its error.

        Raises Cancelled if ``cancelled()`` becomes True before ``work`` begins; from then on ``work`` itself must check
        it.
        """
        self._start()
        done: Future[T] = Future()
        self._waiting.put((done, copy_context(), work))
        try:
            while not wait([done], timeout=POLL_S).done:
                if cancelled() and done.cancel():
                    raise Cancelled
            return done.result()
        finally:
            del done  # otherwise an exception would keep itself and the volumes of its frames alive

    def _start(self) -> None:
        with self._starting:
            if not self._started:
                threading.Thread(target=self._work, name="compute", daemon=True).start()
                self._started = True

    def _work(self) -> None:
        while True:
            done, context, work = self._waiting.get()
            if done.set_running_or_notify_cancel():
                with metrics.INFERENCE_BUSY.track_inprogress():
                    _finish(done, context, work)
            del done, context, work


def _finish(done: Future[Any], context: Context, work: Callable[[], Any]) -> None:
    try:
        result = context.run(work)
    except BaseException as error:
        done.set_exception(error)
    else:
        done.set_result(result)
