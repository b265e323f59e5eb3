"""``broker.Broker`` within one process, for tests and for the compatibility server of a worker."""

from dss_broker.memory.broker import MemoryBroker

__all__ = ["MemoryBroker"]
