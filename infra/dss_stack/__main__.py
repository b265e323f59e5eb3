"""The command ``dss-stack``: runs the whole service on one machine, for trials and for development.  ``make`` calls it."""

import fcntl
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from dss_process.commands import add_version
from dss_process.proxies import excepting_loopback
from dss_stack import sample, screen
from dss_stack.errors import StackError
from dss_stack.log_following import follow
from dss_stack.processes import last_lines
from dss_stack.settings import Settings
from dss_stack.stack import Stack

main = typer.Typer(
    help="The Distributed Segmentation Service on this machine: servers, programs and a sample.",
    no_args_is_help=True,
    add_completion=False,
)
add_version(main, "dss-stack")
console = Console(soft_wrap=True)


@main.command()
def up(
    ct: Annotated[
        Path | None,
        typer.Option(help="your own CT: NIfTI, NRRD, MetaImage or a DICOM folder"),
    ] = None,
    series: Annotated[
        str, typer.Option(help="of a DICOM folder: a number that `dss images` shows")
    ] = "",
) -> None:
    """Start what is not running, send a sample CT through it, and leave it running."""
    if ct is not None and not ct.exists():
        _fail(f"There is no file or folder {ct}.")
    stack, steps = _stack(), screen.StepLines(console)
    with _alone(stack), _sentences():
        steps.say("starting servers and programs")
        stack.start(lambda name: steps.say(f"{name} is ready"))
        with ThreadPoolExecutor() as threads:
            token = threads.submit(sample.login_token, stack)
            segmented = sample.send(stack, ct.absolute() if ct else None, steps.say, series)
        steps.say(f"ticket {segmented.ticket} is done")
        console.print()
        console.print(screen.volumes_table(segmented))
        console.print()
        console.print("[bold]The service is running[/]")
        where = screen.summary(stack.addresses(), segmented, token.result(), stack.prometheus_url)
        console.print(where)


@main.command()
def stop() -> None:
    """End everything that ``up`` has started.  The data stays."""
    stack = _stack()
    if not stack.exists:
        console.print("Nothing has been started here.")
        return
    with _alone(stack), _sentences():
        _stop(stack, screen.StepLines(console))


@main.command()
def provider(name: Annotated[str, typer.Argument(help="the provider's name")] = "LAB") -> None:
    """Make a provider of your own, and write a file with the variables that ``dss`` needs to publish its services."""
    stack, steps = _existing(), screen.StepLines(console)
    with _sentences():
        file = sample.provider_variables(stack, name, steps.say)
    here = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    console.print(f"{here} has the portal's address and your token. In each terminal:")
    typer.echo(f"  . .venv/bin/activate && . {shlex.quote(str(here))}")
    console.print(f"Then: dss service publish FOLDER --provider {name}")


@main.command(
    add_help_option=False,
    context_settings={
        "allow_extra_args": True,
        "allow_interspersed_args": False,
        "ignore_unknown_options": True,
    },
)
def portal(context: typer.Context) -> None:
    """Run a command of dss-portal with the settings of this stack, such as "users list"."""
    program = [sys.executable, "-m", "dss_portal.start", *context.args]
    os.execve(sys.executable, program, _existing().variables())  # noqa: S606 - no shell is wanted


@main.command()
def status() -> None:
    """Show each process: whether it runs, whether it is healthy, its address.  Exit status 1 unless all are healthy."""
    parts = _existing().parts()
    console.print(screen.parts_table(parts))
    if any(part.missing for part in parts):
        console.print(screen.reasons(parts))
    console.print()
    console.print(screen.metrics_pages(parts))
    console.print(f"\n {screen.ADMIN}")
    if not all(part.healthy for part in parts):
        raise typer.Exit(1)


@main.command()
def logs(
    name: Annotated[str | None, typer.Argument(help="a name that make status shows")] = None,
    *,
    follow_on: Annotated[bool, typer.Option("-f", "--follow", help="go on until Ctrl-C")] = False,
    lines: Annotated[int, typer.Option(help="how many lines of each")] = 20,
) -> None:
    """Show the last lines that the processes have written to their logs."""
    files = _existing().logs()
    if name is not None and name not in files:
        _fail(f"There is no log of {name}; there are those of {', '.join(files)}.")
    chosen = {n: file for n, file in files.items() if name in {None, n}}
    for title, file in chosen.items():
        console.rule(title, align="left")
        typer.echo(last_lines(file, lines))
    if follow_on:
        follow(chosen, typer.echo)


@main.command()
def reset(*, yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False) -> None:
    """Stop everything and, after a question, delete all data of the local stack."""
    stack = _existing()
    question = f"Type yes to delete every ticket, user and file in {stack.state}"
    if not yes and typer.prompt(question, default="no") != "yes":
        _fail("Nothing was deleted.")
    with _alone(stack), _sentences():
        _stop(stack, screen.StepLines(console))
        shutil.rmtree(stack.state)
    console.print("Everything is deleted; make up begins anew.")


def _stop(stack: Stack, steps: screen.StepLines) -> None:
    stack.stop(lambda name: steps.say(f"{name} has ended"))
    left = [part.name for part in stack.parts() if part.process is not None]
    if left:
        raise StackError(f"Still running: {', '.join(left)}.")


def _stack() -> Stack:
    return Stack(Settings(), excepting_loopback(os.environ))


def _existing() -> Stack:
    stack = _stack()
    if not stack.exists:
        _fail("Nothing has been started here yet: make up")
    return stack


@contextmanager
def _alone(stack: Stack) -> Iterator[None]:
    """A context that holds a lock on the stack.  It first waits until no other ``dss-stack`` starts or stops the same
    stack.
    """
    try:
        stack.state.mkdir(parents=True, exist_ok=True)
        opened = (stack.state / "stack.lock").open("w")
    except OSError as error:
        _fail(f"DSS_STATE: {stack.state} cannot be the state folder ({error.strerror}).")
    with opened as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print("Waiting for another command on this stack to end ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _sentences() -> Iterator[None]:
    """A context that prints the sentence of a StackError, without a traceback, and exits with status 1."""
    try:
        yield
    except StackError as error:
        _fail(str(error))


def _fail(text: str) -> NoReturn:
    typer.secho(text, err=True, fg="red")
    raise typer.Exit(1)


if __name__ == "__main__":
    main()
