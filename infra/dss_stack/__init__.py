"""The local stack for trials and development: RabbitMQ, PostgreSQL and Prometheus of its own, and the programs of this
project, on one machine.
"""
