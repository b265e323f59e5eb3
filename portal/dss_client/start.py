"""Starts the program ``dss``.  If the client's libraries are not installed, prints a sentence and exits with status 2."""

import sys

from dss_client.extras import lacking


def main() -> None:
    try:
        from dss_client.__main__ import main as program  # noqa: PLC0415  (may not be installed)
    except ImportError as error:
        sentence = lacking(error)
        if sentence is None:
            raise
        sys.stderr.write(f"{sentence}\n")
        sys.exit(2)
    program()
