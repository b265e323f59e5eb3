"""Errors of an inference worker, and how a caller cancels an inference."""

from collections.abc import Callable
from typing import TypeAlias

IsCancelled: TypeAlias = Callable[[], bool]
"""Function that returns True as soon as the inference is to end; the inference then raises Cancelled."""


class InferenceError(Exception):
    """The image or the request cannot be served; the text is a sentence for the user."""


class Cancelled(Exception):
    """The inference was cancelled, because no dispatcher waits for it; its partial result is discarded."""


def innermost(error: BaseException) -> BaseException:
    """The last error in the chain of ``__cause__``; ``error`` itself if it has no cause.

    MONAI wraps an error once for each level of a configuration.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    return error
