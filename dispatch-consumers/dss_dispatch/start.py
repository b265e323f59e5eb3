"""The entry point of ``dss-dispatch``: prepares the process, then imports the program, which takes time."""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dss_process.old_settings import SUCCESSORS, Successor
from dss_process.overviews import asks_for_overview, overview
from dss_process.startup import prepare_process

if TYPE_CHECKING:
    import typer

REFUSED_SETTINGS = SUCCESSORS | {
    "SERVER_URL": Successor("DSS_AMQP_URL", "Dispatchers ask RabbitMQ for tickets, not the portal.")
}
OVERVIEW = {
    "serve": "Take tickets until told to stop (SIGTERM or Ctrl-C).",
    "check-results": "Check results of providers over HTTP and read uploads of browsers; `serve` does both, too.",
    "services": "List the services that come with the program.",
    "check": "Say whether a service can be served, and by which algorithm; if not, which field is wrong.",
}


def main() -> None:
    """Prepare the process and run the command."""
    prepare_process(os.environ, REFUSED_SETTINGS)
    program(sys.argv[1:])()


def program(words: Sequence[str]) -> "typer.Typer":
    """The complete program; or, if ``words`` only request the list of commands, a program that has only that list."""
    if asks_for_overview(words):
        about = "Take the tickets of a segmentation service, one dispatcher for each service."
        return overview("dss-dispatch", about, OVERVIEW)
    from dss_dispatch.__main__ import main as whole  # noqa: PLC0415 - takes time

    return whole


if __name__ == "__main__":
    main()
