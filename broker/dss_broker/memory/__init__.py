"""A ``broker.Broker`` inside one process, for tests and for a worker's compatibility server."""

from dss_broker.memory.broker import MemoryBroker

__all__ = ["MemoryBroker"]
