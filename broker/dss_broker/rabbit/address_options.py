"""Checks the options of an address of RabbitMQ, which stand behind its question mark, by pika itself."""

from collections.abc import Sequence
from urllib.parse import urlencode

from pika import URLParameters  # no py.typed


def require_understood(options: Sequence[tuple[str, str]]) -> None:
    """Raises ValueError with the name of an option that pika does not accept, or that occurs twice."""
    for name, value in options:
        if [n for n, _ in options].count(name) > 1:
            raise ValueError(f"it says '{name[:40]}' twice behind the question mark")
        try:
            URLParameters(f"amqps://host/?{urlencode({name: value})}")
        except Exception as error:
            raise ValueError(
                f"it has a '{name[:40]}' behind the question mark that cannot be used; leave it out"
            ) from error
