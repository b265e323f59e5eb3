"""The commands of ``dss service``, which turns an algorithm into a service."""
