"""The one thread that has the device to itself; reading and writing go on beside it."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any, TypeVar

from dss_inference.device.memory import Memory, ProcessMemory
from dss_inference.errors import Cancelled
from dss_observability import metrics

GLANCE_S = 0.25
"""How often those who wait look whether they are cancelled."""

T = TypeVar("T")


class ComputeThread:
    """Does what it is given, one after the other.  May be called from any thread but its own.

    A thread, not a lock: OpenMP keeps a pool of threads, and the allocator an arena, for each thread
    that computes.
    """

    def __init__(self, memory: Memory | None = None) -> None:
        self.memory = memory or ProcessMemory()
        self._waiting: SimpleQueue[tuple[Future[Any], Context, Callable[[], Any]]] = SimpleQueue()
        self._starting = threading.Lock()
        self._started = False

    def __call__(self, work: Callable[[], T], cancelled: Callable[[], bool]) -> T:
        """What ``work`` returns or raises.  Raises Cancelled if nobody wants it before it began."""
        self._start()
        done: Future[T] = Future()
        self._waiting.put((done, copy_context(), work))
        try:
            while not wait([done], timeout=GLANCE_S).done:
                if cancelled() and done.cancel():
                    raise Cancelled
            return done.result()
        finally:
            del done  # an exception would keep itself, and every volume of its frames, alive

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
