"""Shared code of the commands: reads settings, connects to database and broker, and prints a sentence for each
failure.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import typer
from pydantic_settings import BaseSettings

from dss_broker.reading_settings import read_settings
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
    """Run ``work`` and return its result.  If the database cannot be used, end the program with a
    sentence about that.
    """
    try:
        return asyncio.run(work)
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        raise exit_with(sentence) from error


def or_exit(work: Callable[[], Awaitable[T]]) -> T:
    """Run ``work`` with a database connection and return its result.  If the database cannot be used, or ``work``
    raises LookupError or Refused, end the program with a sentence.
    """
    try:
        return with_database(work)
    except (LookupError, Refused) as error:
        raise exit_with(str(error)) from error


def with_broker(work: "Callable[[Settings, RabbitBroker], Awaitable[T]]") -> T:
    """Call ``work`` with the settings and a broker, with a database connection, and return its result; the broker is
    closed afterwards.

    If a setting is missing, the database cannot be used, or ``work`` raises LookupError or Refused, end the program
    with a sentence.
    """
    from dss_broker.rabbit import RabbitBroker  # noqa: PLC0415 - most commands need none

    settings = read(Settings)
    broker = RabbitBroker(settings.amqp_url.get_secret_value(), "portal", settings.instance)
    try:
        return or_exit(lambda: work(settings, broker))
    finally:
        broker.close()


def read(kind: type[S]) -> S:
    """Read the settings of class ``kind`` from the environment, where names of the older servers count too.  If a
    setting is missing or wrong, end the program with one message for each.
    """
    for name, value in renamed(os.environ).items():
        os.environ.setdefault(name, value)
    return read_settings(kind)


def exit_with(text: str) -> typer.Exit:
    typer.secho(text, err=True, fg="red")
    return typer.Exit(2)
