"""How long the programs take to start: CPU time, and seconds until they say that they are ready.

``python tests/bench/bench_startup.py``: commands and programs as they are installed, on real servers; the smallest of
some tries, since what else the machine does adds to each.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.side_by_side import sides
from bench.side_by_side.sides import cpu_s
from support import commands
from support.databases import make_database
from support.stacks import Stack, leave_nothing_running
from support.waiting import wait_until

COMMANDS = {
    "dss --help": ("dss", "--help"),
    "dss-portal --help": ("dss-portal", "--help"),
    "dss-portal users add": ("dss-portal", "users", "add", "ann@example.com"),
    "dss-portal services list": ("dss-portal", "services", "list"),
    "dss-dispatch --help": ("dss-dispatch", "--help"),
    "dss-inference --help": ("dss-inference", "--help"),
}
PROGRAMS = ("portal", "dispatch", "inference")
GOALS = {"dss --help": "0.3 s CPU", "dss-portal users add": "0.4 s CPU", "portal": "1.5 s"}
WAIT_S = 120.0


def bench(tries: Annotated[int, typer.Option(help="Of each.", min=1)] = 5) -> None:
    leave_nothing_running()
    with tempfile.TemporaryDirectory(prefix="dss-bench-") as name, ExitStack() as stack:
        rabbit, postgres = stack.enter_context(sides.servers(Path(name)))
        url = make_database(postgres.database_url, "bench")
        site = Stack(folder=Path(name), amqp_url=rabbit.amqp_url, database_url=url)
        stack.callback(site.stop)
        site.command("migrate")
        site.datastore.mkdir()
        for title, words in COMMANDS.items():
            used_s = min(_cpu_of(words, site) for _ in range(tries))
            typer.echo(f"{title}: {used_s:.2f} s CPU{_goal(title)}")
        for program in PROGRAMS:
            ready_s, used_s = min(_start(site, program) for _ in range(tries))
            typer.echo(f"{program}: ready in {ready_s:.2f} s, {used_s:.2f} s CPU{_goal(program)}")


def _goal(title: str) -> str:
    return f" (goal: {GOALS[title]})" if title in GOALS else ""


def _cpu_of(words: tuple[str, ...], site: Stack) -> float:
    """CPU seconds of a command and what it starts."""
    command = [str(Path(sys.executable).with_name(words[0])), *words[1:]]
    before = _children_s()
    subprocess.run(command, check=True, env=site.environment, stdout=subprocess.DEVNULL)
    return _children_s() - before


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _start(site: Stack, program: str) -> tuple[float, float]:
    """Seconds until the program is ready, and its CPU time until then."""
    began_s = time.monotonic()
    site.start_one(program)
    wait_until(_is_ready(site, program), WAIT_S, site.logs)
    took = time.monotonic() - began_s, cpu_s(site.running[program].pid)
    process = site.running.pop(program)
    process.terminate()
    process.wait(60)
    return took


def _is_ready(site: Stack, program: str) -> Callable[[], bool]:
    return site.portal_ready if program == "portal" else lambda: site.ready(program)


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    commands.run(bench)
