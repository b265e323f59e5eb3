"""The entry point of ``dss-portal``: prepares the process, then imports the part of the program
that the command needs.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from dss_process.overviews import asks_for_overview, overview
from dss_process.startup import prepare_process

if TYPE_CHECKING:
    import typer

_GROUPS = {
    "users": "dss_portal.commands.people",
    "tiers": "dss_portal.commands.people",
    "tokens": "dss_portal.commands.people",
    "providers": "dss_portal.commands.offers",
    "services": "dss_portal.commands.offers",
}
"""Command groups that need neither web server nor broker, and the modules that define them."""
OVERVIEW = {
    "serve": "Serve ITK-SNAP clients and browsers until SIGTERM.  Settings come from DSS_* variables.",
    "migrate": "Bring the database schema up to date.  May be repeated, also by several portals at once.",
    "with-database": "Run a program of PostgreSQL, such as pg_dump, on the database of DSS_DATABASE_URL.",
    "users": "Users who may sign in.",
    "tiers": "What classes of users may do.",
    "tokens": "Long-lived tokens for programs.",
    "providers": "Who offers services.",
    "services": "Services on offer.",
    "dead-letters": "Messages that no program could handle.",
}


def main() -> None:
    prepare_process(os.environ)
    program(sys.argv[1:])()


def program(words: Sequence[str]) -> "typer.Typer":
    """The program with the commands that the command line ``words`` needs: all commands, one group, or only the
    overview.  Importing the web server would take a second.
    """
    if asks_for_overview(words):
        about = "The portal of the Distributed Segmentation Service."
        return overview("dss-portal", about, OVERVIEW, add_completion=True)
    if not words or words[0] not in _GROUPS:
        return import_module("dss_portal.__main__").main  # type: ignore[no-any-return]  # a module is Any
    import typer  # noqa: PLC0415 - not before the process is prepared

    found = typer.Typer()
    found.add_typer(getattr(import_module(_GROUPS[words[0]]), words[0]), name=words[0])
    return found


if __name__ == "__main__":
    main()
