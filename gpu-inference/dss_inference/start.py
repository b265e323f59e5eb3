"""The entry point of the command ``dss-inference``: prepares the process, then imports the program, which takes time."""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dss_process.overviews import asks_for_overview, overview
from dss_process.startup import prepare_process

if TYPE_CHECKING:
    import typer

OVERVIEW = {
    "serve": "Take requests until told to stop (SIGTERM or Ctrl-C).",
    "facade": "Take images over HTTP only, without a broker: POST /lung_segmentation/inference and so on.",
    "phantom": "The same as 'dss-phantom': make a synthetic chest CT.  'dss-phantom --help' shows its options.",
    "bundle": "List, check and run bundles by hand, without a broker.",
}


def main() -> None:
    """Prepare the process and run the command."""
    prepare_process(os.environ)
    program(sys.argv[1:])()


def program(words: Sequence[str]) -> "typer.Typer":
    """The program to run for the command line ``words``.  If they only ask for the list of commands, it is a program
    that shows this list and imports nothing else.
    """
    if asks_for_overview(words):
        about = "Segment images with bundles, on a GPU if there is one."
        return overview("dss-inference", about, OVERVIEW)
    from dss_inference.__main__ import main as whole  # noqa: PLC0415 - slow to import, and an overview does not need it

    return whole


if __name__ == "__main__":
    main()
