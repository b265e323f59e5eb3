"""``make upgrade-drill``: programs of an earlier release are replaced by today's, and back, while users send tickets.

First the schema, then portals, dispatchers and workers, one after the other: old ones and new ones work side by side at
each step.  Then a rollback in the opposite order, which leaves the newer schema, and the upgrade once more.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from chaos.cases import draw_cases
from chaos.report import table
from chaos.run import SETTLE_S, Outcome, Plan, judged, settle
from chaos.site import TESTS, Site
from chaos.told import receivers
from chaos.users import User, client
from conftest import CHECKOUT, SYSROOT
from support.databases import number_from
from support.stacks import leave_nothing_running
from support.waiting import wait_until

RELEASE = "7268343"
"""Release 0.1.0."""
PARTS = ("tests", "broker", "portal", "dispatch-consumers", "gpu-inference", "observability")
USERS, TICKETS = 6, 4000
AT_EACH_STEP = 6
"""Tickets that must succeed before the next program is replaced."""
STEP_S = 120.0
ORDER = ("portal", "dispatch", "inference")
"""Receivers before senders: portals understand what newer dispatchers say, these what newer workers say."""
_TOKENS = """
import asyncio, json, sys
from chaos.users import _tokens
print(json.dumps(asyncio.run(_tokens(sys.argv[1], int(sys.argv[2]), 2))))
"""

Tell = Callable[[str], None]


def source_of(commit: str, folder: Path) -> Path:
    """The files of that commit, in ``folder``, which is made.  Raises CalledProcessError if git does not know it."""
    folder.mkdir()
    packed = subprocess.run(
        ["git", "-C", str(CHECKOUT), "archive", commit], check=True, capture_output=True
    )
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed.stdout, check=True)
    return folder


def python_path(root: Path) -> str:
    """What makes Python import the programs of ``root`` rather than those that are installed."""
    return os.pathsep.join(str(root / part) for part in PARTS)


class Drill:
    """A site of programs that are each of the release in ``older`` or of today."""

    def __init__(self, site: Site, older: Path, tell: Tell) -> None:
        self._site, self._older, self._tell = site, older, tell

    def tokens(self) -> list[list[str]]:
        """Those of the users, made by the older program, whose schema it is."""
        done = subprocess.run(
            [sys.executable, "-c", _TOKENS, self._site.postgres.database_url, str(USERS)],
            env={**os.environ, "PYTHONPATH": python_path(self._older)},
            check=True,
            capture_output=True,
            encoding="utf-8",
        )
        found: list[list[str]] = json.loads(done.stdout)
        return found

    def run(self) -> None:
        self._work_goes_on("all programs are of the older release")
        self._site.migrate(str(TESTS))
        self._work_goes_on("the schema is today's")
        self._replace(ORDER, str(TESTS), "today's")
        self._replace(tuple(reversed(ORDER)), python_path(self._older), "the older one")
        self._replace(ORDER, str(TESTS), "today's")

    def _replace(self, order: tuple[str, ...], path: str, release: str) -> None:
        for kind in order:
            for name, program in self._site.programs.items():
                if name.startswith(kind):
                    program.end(signal.SIGTERM)
                    program.environment["PYTHONPATH"] = path
                    program.start()
                    self._work_goes_on(f"{name} is {release}")

    def _work_goes_on(self, why: str) -> None:
        began_s, before = time.monotonic(), self._done()
        wait_until(lambda: self._done() >= before + AT_EACH_STEP, STEP_S, self._site.last_words)
        self._tell(f"{why}: {AT_EACH_STEP} tickets in {time.monotonic() - began_s:.1f} s")

    def _done(self) -> int:
        statement = "SELECT count(*) FROM ticket WHERE status = 'success'"
        return asyncio.run(number_from(self._site.postgres.database_url, statement))


def users_of(drill: Drill, site: Site, folder: Path, enough: threading.Event) -> list[User]:
    cases = draw_cases(TICKETS, random.Random(1))
    return [
        User(
            [client(portal, token) for portal, token in zip(site.portals, own, strict=True)],
            cases[number::USERS],
            folder / "cases",
            open_each=2,
            enough=enough,
        )
        for number, own in enumerate(drill.tokens())
    ]


def run(folder: Path, commit: str, sysroot: Path | None, tell: Tell) -> Outcome:
    """``folder`` is empty."""
    outcome = Outcome(plan=Plan(users=USERS, tickets=TICKETS))
    began_s, enough = time.monotonic(), threading.Event()
    older = source_of(commit, folder / "older")
    with receivers(outcome.plan.seed) as listening:
        site = Site(
            folder=folder,
            receivers=listening,
            sysroot=sysroot,
            path=python_path(older),
            tickets=TICKETS,
        )
        try:
            site.start()
            drill = Drill(site, older, tell)
            users = users_of(drill, site, folder, enough)
            for user in users:
                user.start()
            drill.run()
            enough.set()
            settle(site, users, SETTLE_S)
            judged(outcome, site, users)
            outcome.violations += list(faults_in(folder / "log"))
        finally:
            enough.set()
            site.stop()
    outcome.seconds = time.monotonic() - began_s
    return outcome


def faults_in(logs: Path) -> Iterator[str]:
    """A sentence for each error that a program logged with a traceback."""
    for path in sorted(logs.glob("*.log")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if "Traceback" in line:
                yield f"log: {path.stem}: {line[:600]}"


def main(
    *,
    commit: Annotated[str, typer.Option(help="The earlier release.")] = RELEASE,
    keep: Annotated[Path | None, typer.Option(help="A new folder for logs and files.")] = None,
) -> None:
    """Exit status 1 if anything was lost, stuck, doubled or left behind."""
    leave_nothing_running()
    with tempfile.TemporaryDirectory(prefix="dss-upgrade-") as name:
        folder = keep or Path(name) / "run"
        folder.mkdir()
        outcome = run(folder, commit, SYSROOT, typer.echo)
    typer.echo(table(outcome))
    raise typer.Exit(1 if outcome.violations else 0)


if __name__ == "__main__":
    typer.run(main)
