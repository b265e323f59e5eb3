"""Types for the settings of all programs, and sentences for their errors."""

import re
import ssl
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError

from dss_broker.descriptor import MAX_DEADLINE_S
from dss_broker.instance import valid_instance_name

MAX_AT_A_TIME = 1000
"""Limit for the number of tickets, requests or threads of one program.  A prefetch count of AMQP has 16 bits only."""

MAX_BYTES = 2**63 - 1
"""Limit for a size, because the operating system, the database and other programs read it as a 64-bit integer."""


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
            parts.scheme in {"amqp", "amqps"}
            and is_host(parts.hostname or "")
            and parts.port != 0
            and named
        )
    except ValueError:
        return False


def is_host(host: str) -> bool:
    """True if ``host`` may be the name or the address of a host.  Python cannot look up other names: it raises an
    error that is no OSError.
    """
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return bool(host) and not re.search(r"[\s/@\[\]]", host)


def is_web_address(url: str) -> bool:
    """True if ``url`` begins with http:// or https:// and a host, and has no white space."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and is_host(parts.hostname or "")
        return usable and parts.port != 0 and not re.search(r"\s", url)
    except ValueError:
        return False


def unreadable(path: str | Path) -> str:
    """Why the file ``path`` cannot be read, as words that end a sentence about a setting; "" if it can be."""
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except FileNotFoundError:
        return f"there is no file {path}"
    except OSError as error:
        return f"{str(path)[:200]} cannot be read ({error.strerror or error})"
    return ""


def no_certificates(path: str | Path) -> str:
    """Why the file ``path`` holds no certificates that a program could trust, as ``unreadable`` says it; "" if it does."""
    try:
        return unreadable(path) or _loaded(path)
    except ssl.SSLError:
        return f"{str(path)[:200]} holds no certificate (PEM)"


def _loaded(path: str | Path) -> str:
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    return ""


def _require_understood(query: str) -> None:
    """Raises ValueError with the name of a query parameter that pika does not accept, or that occurs twice."""
    pairs = parse_qsl(query, keep_blank_values=True)
    if pairs:
        from dss_broker.rabbit.address_options import require_understood  # noqa: PLC0415 - commands need no pika

        require_understood(pairs)


def _bind_address(bind: str) -> str:
    if not bind:
        return bind
    host, _, port = bind.rpartition(":")
    bare = host[1:-1] if host[:1] == "[" and host[-1:] == "]" else host
    if not is_host(bare) or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"'{bind}' is not host:port, such as 127.0.0.1:9100")
    return bind


AmqpUrl = Annotated[SecretStr, AfterValidator(_amqp_address)]
"""Address of RabbitMQ with the user's password, or those of several nodes, separated by commas."""

Instance = Annotated[str, AfterValidator(valid_instance_name)]
"""Name of a process; "" is replaced by the default, ``instance_name()``."""

Bind = Annotated[str, AfterValidator(_bind_address)]
"""Address host:port to listen on; "" to listen on none."""

Seconds = Annotated[float, Field(gt=0, le=MAX_DEADLINE_S)]
"""A time of at most ten years.  A longer one overflows when it is added to today's date."""

StopSeconds = Annotated[float, Field(ge=0, le=MAX_DEADLINE_S)]
"""The same, or 0."""

AtATime = Annotated[int, Field(ge=1, le=MAX_AT_A_TIME)]
"""Number of tickets, requests or threads of one program."""

Bytes = Annotated[int, Field(gt=0, le=MAX_BYTES)]
"""A size in bytes."""


NOT_SET = "this setting is needed and is not set; infra/env.example explains it."


def problems(error: ValidationError) -> list[str]:
    """A sentence for each setting that is missing or wrong, with its name in the environment."""
    return [
        _problem(e["loc"], NOT_SET if e["type"] == "missing" else e["msg"]) for e in error.errors()
    ]


def _problem(where: tuple[int | str, ...], message: str) -> str:
    text = message.removeprefix("Value error, ")
    return f"DSS_{str(where[0]).upper()}: {text}" if where else text


def cannot_listen(setting: str, bind: str, error: OSError) -> str:
    """A sentence for operators about an address that is in use, or does not belong to this machine."""
    return f"{setting}: {bind} cannot be listened on ({error.strerror or error})."
