"""Shared code of the commands: reads settings, connects to database and broker, and prints a sentence for each
failure.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import typer
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from dss_broker.settings import problems
from dss_portal import database
from dss_portal.database.explanations import explain
from dss_portal.legacy_settings import renamed
from dss_portal.refusals import Refused
from dss_portal.settings import DatabaseSettings, Settings

if TYPE_CHECKING:
    from dss_broker.rabbit import RabbitBroker

S = TypeVar("S", bound=BaseSettings)
T = TypeVar("T")


def with_database(work: Callable[[], Awaitable[T]]) -> T:
    url = read(DatabaseSettings).database_url.get_secret_value()

    async def connected() -> T:
        async with database.connected(url):
            return await work()

    return or_sentence(connected())


def or_sentence(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` and return its result.  Exits with a sentence if the database cannot be used."""
    try:
        return asyncio.run(work)
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        raise exit_with(sentence) from error


def or_exit(work: Callable[[], Awaitable[T]]) -> T:
    """Run ``work`` with a database connection.  Exits with a sentence if it raises LookupError or Refused."""
    try:
        return with_database(work)
    except (LookupError, Refused) as error:
        raise exit_with(str(error)) from error


def with_broker(work: "Callable[[Settings, RabbitBroker], Awaitable[T]]") -> T:
    """Like ``or_exit``, but pass the settings and a broker to ``work``; closes the broker afterwards."""
    from dss_broker.rabbit import RabbitBroker  # noqa: PLC0415 - most commands need none

    settings = read(Settings)
    broker = RabbitBroker(settings.amqp_url.get_secret_value(), "portal", settings.instance)
    try:
        return or_exit(lambda: work(settings, broker))
    finally:
        broker.close()


def read(kind: type[S]) -> S:
    """Read settings from the environment.  Exits with one message for each setting that is missing or wrong."""
    for name, value in renamed(os.environ).items():
        os.environ.setdefault(name, value)
    try:
        return kind()
    except ValidationError as error:
        raise exit_with("\n".join(problems(error))) from error


def exit_with(text: str) -> typer.Exit:
    typer.secho(text, err=True, fg="red")
    return typer.Exit(2)
