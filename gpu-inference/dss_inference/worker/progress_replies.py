"""Sends progress of a computation to the requester, at a limited rate, and repeats the last progress while nothing
changes.
"""

import threading
import time
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from types import TracebackType

from dss_broker.messages import InferenceFinished
from dss_inference.bundle import Progress
from dss_inference.worker.request import AnswerStep, Request
from dss_observability import tracing

SHORTEST_GAP_S = 0.25
LONGEST_GAP_S = 10.0


class ReportedProgress:
    """A step in answering a request: sends progress replies, and traces the stages, while the next step computes the
    answer.
    """

    def __init__(self, next_step: AnswerStep) -> None:
        self._next_step = next_step

    def answer(self, request: Request) -> InferenceFinished:
        attributes = {f"dss.{name}": str(value) for name, value in request.facts.items()}
        with ProgressReplies(request.tell) as replies, tracing.SpanChain(attributes) as steps:

            def tell(fraction: float, stage: str) -> None:
                steps.enter(stage)
                replies(fraction, stage)

            return self._next_step.answer(replace(request, tell=tell))


class ProgressReplies:
    """A context manager that is called with progress, and sends the latest progress with ``send`` from a thread of its
    own.

    A change is sent within ``shortest_gap_s``.  Without a change the last progress is repeated every ``longest_gap_s``,
    so that the requester knows that the worker is alive.
    """

    def __init__(
        self,
        send: Progress,
        *,
        shortest_gap_s: float = SHORTEST_GAP_S,
        longest_gap_s: float = LONGEST_GAP_S,
    ) -> None:
        self._send = send
        self._shortest_gap_s = shortest_gap_s
        self._longest_gap_s = longest_gap_s
        self._latest = (0.0, "starting")
        self._ended = threading.Event()
        send_on = partial(copy_context().run, self._keep_sending)  # in the same trace
        self._thread = threading.Thread(target=send_on, name="progress", daemon=True)

    def __call__(self, fraction: float, stage: str) -> None:
        self._latest = (fraction, stage)

    def __enter__(self) -> "ProgressReplies":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop sending; nothing is sent after this returns."""
        self._ended.set()
        self._thread.join()

    def _keep_sending(self) -> None:
        sent: tuple[float, str] | None = None
        sent_s = 0.0
        while True:
            latest = self._latest
            if latest != sent or time.monotonic() - sent_s >= self._longest_gap_s:
                self._send(*latest)
                sent, sent_s = latest, time.monotonic()
            if self._ended.wait(self._shortest_gap_s):
                return
