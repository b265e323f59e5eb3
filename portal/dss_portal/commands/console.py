"""What every command needs: settings, the database, the broker, and a sentence when it cannot be done."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

import typer
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from dss_broker.rabbit import RabbitBroker
from dss_portal import database
from dss_portal.errors import Refused
from dss_portal.legacy import renamed
from dss_portal.settings import DatabaseSettings, Settings

S = TypeVar("S", bound=BaseSettings)
T = TypeVar("T")


def with_database(work: Callable[[], Awaitable[T]]) -> T:
    url = read(DatabaseSettings).database_url.get_secret_value()

    async def connected() -> T:
        async with database.connected(url):
            return await work()

    return asyncio.run(connected())


def or_exit(work: Callable[[], Awaitable[T]]) -> T:
    """Like ``with_database``; what cannot be done ends with a sentence."""
    try:
        return with_database(work)
    except (LookupError, Refused) as error:
        raise exit_with(str(error)) from error


def with_broker(work: Callable[[Settings, RabbitBroker], Awaitable[T]]) -> T:
    """Like ``or_exit``, with the broker at hand too."""
    settings = read(Settings)
    broker = RabbitBroker(settings.amqp_url.get_secret_value(), "portal", settings.instance)
    try:
        return or_exit(lambda: work(settings, broker))
    finally:
        broker.close()


def read(kind: type[S]) -> S:
    """From the environment.  Exits with a sentence for each setting that is missing or wrong."""
    for name, value in renamed(os.environ).items():
        os.environ.setdefault(name, value)
    try:
        return kind()
    except ValidationError as error:
        raise exit_with("\n".join(_problem(e["loc"], e["msg"]) for e in error.errors())) from error


def _problem(where: tuple[int | str, ...], what: str) -> str:
    return f"DSS_{str(where[0]).upper()}: {what}" if where else what


def exit_with(text: str) -> typer.Exit:
    typer.secho(text, err=True, fg="red")
    return typer.Exit(2)
