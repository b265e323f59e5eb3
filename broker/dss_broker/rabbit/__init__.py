"""A ``broker.Broker`` on RabbitMQ.  No other package imports pika."""

from dss_broker.rabbit.broker import RabbitBroker

__all__ = ["RabbitBroker"]
