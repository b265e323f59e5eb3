"""A ``broker.Broker`` on RabbitMQ.  Except for the check of addresses in ``settings``, nothing else imports pika."""

from dss_broker.rabbit.broker import RabbitBroker

__all__ = ["RabbitBroker"]
