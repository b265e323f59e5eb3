"""Failures of a bundle, for the tests of the worker."""

from dss_broker.memory import MemoryBroker
from dss_broker.messages import (
    InferenceFailed,
    RunInference,
)
from support.copy_worker import (
    replies,
)


def failure(broker: MemoryBroker, request: RunInference) -> str:
    last = replies(broker, request)[-1]
    assert isinstance(last, InferenceFailed)
    return last.reason
