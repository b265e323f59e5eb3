"""The class of the command group ``dss``.  It imports a command when the command is called, and turns every error into
a sentence on standard error and an exit status.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NoReturn

import click
from click.shell_completion import shell_complete

from dss_client import output
from dss_client.error_sentences import of_disk
from dss_client.errors import ClientError
from dss_client.extras import lacking
from dss_client.output import say
from dss_process.misspelt import misspelt

FAILED, IMPOSSIBLE, FAULTY, INTERRUPTED = 1, 2, 70, 130
"""Exit statuses other than 0.  FAILED: the request failed, for example the ticket.  IMPOSSIBLE: the command could not
be carried out at all.  FAULTY: a fault of ``dss`` itself (70 in sysexits.h).  INTERRUPTED: ended by Ctrl-C (as in
shells).
"""
SHOW_TRACE = "DSS_TRACEBACK"
VARIABLES = ("DSS_SERVER", "DSS_TOKEN", SHOW_TRACE, "DSS_BEAT_S", "DSS_CONTAINER_ENGINE")
"""All environment variables of the product that ``dss`` reads, also those of ``dss service``."""
_LIKENESS = 0.8
"""Least likeness (by difflib) of a misspelt variable and the right one; two letters of DSS_TOKEN may be exchanged."""
_COMPLETE = "_DSS_COMPLETE"


class CommandGroup(click.Group):
    """A group of commands that are imported when they are called.  ``places`` has, by a command's name,
    "module:function" and its line of help.
    """

    def __init__(self, *, places: Mapping[str, tuple[str, str]], **attributes: Any) -> None:
        super().__init__(**attributes)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's)
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        if cmd_name not in self._places:
            return None
        module, _, name = self._places[cmd_name][0].partition(":")
        found: click.Command = getattr(import_module(module), name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._places.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not args[0].startswith("-") and args[0] not in self._places:
            from difflib import get_close_matches  # noqa: PLC0415  (beside its only use)

            near = get_close_matches(args[0], self._places, 1)
            meant = f" Did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"There is no command '{args[0]}'.{meant}", ctx)
        return super().resolve_command(ctx, args)

    def main(  # type: ignore[override]  # never returns, in either mode of click
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run the command and exit: with 0 if it was carried out, otherwise with FAILED, IMPOSSIBLE, FAULTY or
        INTERRUPTED.  An error is printed as a sentence; with DSS_TRACEBACK set, a fault of ``dss`` itself is raised.  A
        variable in the environment that seems to be a misspelt one of VARIABLES is warned of on standard error.
        """
        output.prepare_streams()
        name = prog_name or "dss"
        if instruction := os.environ.get(_COMPLETE):
            sys.exit(shell_complete(self, {}, name, _COMPLETE, instruction))
        for warning in misspelt(os.environ, VARIABLES, _LIKENESS):
            say(warning, error=True)
        words = list(sys.argv[1:] if args is None else args)
        options = {k: v for k, v in extra.items() if k not in {"standalone_mode", "complete_var"}}
        status = self._status(words, name, options)
        sys.stdout.flush() if status == 0 else None
        sys.exit(status)

    def _status(self, words: list[str], name: str, options: dict[str, Any]) -> int:
        try:
            with self.make_context(name, words, **options) as context:
                self.invoke(context)
            output.flush()
        except click.exceptions.Exit as end:
            return int(end.exit_code)
        except (KeyboardInterrupt, click.Abort, EOFError):
            return _fail("Ended.", INTERRUPTED)
        except Exception as error:  # the outermost boundary: any error is shown as a sentence
            return _explained(error)
        return 0


def _explained(error: Exception) -> int:
    match error:
        case click.UsageError():
            return _fail(_usage(error), IMPOSSIBLE)
        case click.ClickException():
            return _fail(error.format_message(), IMPOSSIBLE)
        case output.OutputLost():
            output.abandon()
            return _fail(str(error), IMPOSSIBLE)
        case ClientError():
            return _fail(str(error), IMPOSSIBLE)
        case ImportError() if sentence := lacking(error):
            return _fail(sentence, IMPOSSIBLE)
        case OSError() if error.filename is None:
            output.abandon()
            return _fail(str(output.lost(error)), IMPOSSIBLE)
        case OSError():
            return _fail(of_disk(error), IMPOSSIBLE)
    if os.environ.get(SHOW_TRACE):
        raise error
    kind = type(error).__name__
    return _fail(
        f"dss has met a fault of its own ({kind}: {error}). Please report it, with what {SHOW_TRACE}=1 shows.",
        FAULTY,
    )


def _usage(error: click.UsageError) -> str:
    message = " ".join(error.format_message().split())
    if not message.endswith((".", "?", "!")):
        message += "."
    path = error.ctx.command_path if error.ctx else "dss"
    return f"{message} See {path} --help."


def _fail(text: str, status: int) -> int:
    say(text, error=True)
    return status
