"""Runs the programs of tests and benchmarks as commands."""

import functools
from collections.abc import Callable

import typer


def run(command: Callable[..., None]) -> None:
    """``typer.run``, but a connection that breaks ends the program with its trace.

    Typer takes any broken pipe for that of a closed terminal, and ends with status 1 and without a word.
    """

    @functools.wraps(command)
    def told(*args: object, **options: object) -> None:
        try:
            command(*args, **options)
        except BrokenPipeError as error:
            raise RuntimeError("A connection was closed by its other side.") from error

    typer.run(told)
