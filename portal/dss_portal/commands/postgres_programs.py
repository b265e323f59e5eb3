"""The command ``dss-portal with-database``, which runs PostgreSQL's own programs on the portal's database."""

import os
import shutil
from typing import Annotated

import typer

from dss_portal.commands.console import exit_with, or_sentence, read
from dss_portal.database import engine, libpq
from dss_portal.database.address import parse
from dss_portal.settings import DatabaseSettings

POOLED = (
    "DSS_DATABASE_URL leads to a connection pooler, which PostgreSQL's own programs would leave with changed sessions; "
    "set it to the address of PostgreSQL itself for this command."
)
LACKING = (
    "There is no program {} here; PostgreSQL's client programs are needed (Debian: the package "
    "postgresql-client)."
)


def with_database(
    program: Annotated[str, typer.Argument(help="pg_dump, pg_restore, psql or another one")],
    arguments: Annotated[list[str] | None, typer.Argument(help="its own arguments")] = None,
) -> None:
    """Run a program of PostgreSQL, such as pg_dump, on the database of DSS_DATABASE_URL.

    The address reaches it by variables.  Where it needs an option --dbname, that is postgres://.
    """
    url = read(DatabaseSettings).database_url.get_secret_value()
    found = shutil.which(program)
    if found is None:
        raise exit_with(LACKING.format(program))
    if or_sentence(engine.is_pooled(parse(url))):
        raise exit_with(POOLED)
    os.umask(0o077)  # a backup is for its owner alone
    words = [program, *(arguments or [])]
    os.execve(found, words, libpq.environment_for(url, os.environ))  # noqa: S606 - the operator's own program
