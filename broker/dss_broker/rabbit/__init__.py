"""``broker.Broker`` on RabbitMQ.  The only importer of pika, but for the check of its addresses in ``settings``."""

from dss_broker.rabbit.broker import RabbitBroker

__all__ = ["RabbitBroker"]
