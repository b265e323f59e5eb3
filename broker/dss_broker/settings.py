"""Types for the settings of all programs, and sentences for their errors."""

from typing import Annotated
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import AfterValidator, SecretStr, ValidationError

from dss_broker.instance import valid_instance_name


def _amqp_address(url: SecretStr) -> SecretStr:
    """``url`` if it is one or several addresses of RabbitMQ; otherwise raises ValueError.  The error does not show the
    address, which contains a password.
    """
    addresses = url.get_secret_value().split(",")
    if not all(_is_amqp(address) for address in addresses):
        raise ValueError(
            "an address like amqp://user:password@host:5672/vhost is needed, or amqps://; "
            "special characters of a password are written as in %2F"
        )
    for address in addresses:
        _require_understood(urlsplit(address.strip()).query)
    return url


def _is_amqp(address: str) -> bool:
    try:
        parts = urlsplit(address.strip())
        named = parts.username is None or parts.password is not None
        return (
            parts.scheme in {"amqp", "amqps"} and bool(parts.hostname) and parts.port != 0 and named
        )
    except ValueError:
        return False


def _require_understood(query: str) -> None:
    """Raises ValueError with the name of a query parameter that pika does not accept, or that occurs twice."""
    pairs = parse_qsl(query, keep_blank_values=True)
    if not pairs:
        return
    from pika import URLParameters  # noqa: PLC0415 - commands need no pika

    for name, value in pairs:
        if [n for n, _ in pairs].count(name) > 1:
            raise ValueError(f"it says '{name[:40]}' twice behind the question mark")
        try:
            URLParameters(f"amqps://host/?{urlencode({name: value})}")
        except Exception as error:
            raise ValueError(
                f"it has a '{name[:40]}' behind the question mark that cannot be used; leave it out"
            ) from error


def _bind_address(bind: str) -> str:
    if not bind:
        return bind
    host, _, port = bind.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"'{bind}' is not host:port, such as 127.0.0.1:9100")
    return bind


AmqpUrl = Annotated[SecretStr, AfterValidator(_amqp_address)]
"""Address of RabbitMQ with the user's password, or those of several nodes, separated by commas."""

Instance = Annotated[str, AfterValidator(valid_instance_name)]
"""Name of a process; "" is replaced by the default, ``instance_name()``."""

Bind = Annotated[str, AfterValidator(_bind_address)]
"""Address host:port to listen on; "" to listen on none."""


NOT_SET = "this setting is needed and is not set; infra/env.example explains it."


def problems(error: ValidationError) -> list[str]:
    """A sentence for each setting that is missing or wrong, with its name in the environment."""
    return [
        _problem(e["loc"], NOT_SET if e["type"] == "missing" else e["msg"]) for e in error.errors()
    ]


def _problem(where: tuple[int | str, ...], what: str) -> str:
    text = what.removeprefix("Value error, ")
    return f"DSS_{str(where[0]).upper()}: {text}" if where else text


def cannot_listen(setting: str, bind: str, error: OSError) -> str:
    """A sentence for operators about an address that is in use, or does not belong to this machine."""
    return f"{setting}: {bind} cannot be listened on ({error.strerror or error})."
