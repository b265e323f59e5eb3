"""Shows the list of a program's commands without importing the commands, which takes a second.

It imports little itself.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer


def asks_for_overview(words: Sequence[str]) -> bool:
    """True if the command line ``words`` is empty or only ``--help`` or ``--version``: the list of commands or the
    version is wanted, and no command.
    """
    return list(words) in ([], ["--help"], ["--version"])


def overview(
    program: str, text: str, commands: Mapping[str, str], *, add_completion: bool = False
) -> "typer.Typer":
    """A Typer program that shows the same help as the real program, but whose commands do nothing.

    ``text`` is the program's help; ``commands`` has a line of help for each command, by its name.
    """
    import typer  # noqa: PLC0415 - not before the process is prepared

    from dss_process.commands import add_version  # noqa: PLC0415 - it imports typer

    listed = typer.Typer(help=text, no_args_is_help=True, add_completion=add_completion)
    add_version(listed, program)
    for name, line in commands.items():
        listed.command(name, help=line)(_nothing)
    return listed


def _nothing() -> None:
    pass
