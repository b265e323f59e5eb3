"""A chaos run as a test: skipped where its servers are missing."""

from pathlib import Path

from chaos.run import Outcome, Plan, run
from conftest import SYSROOT, missing
from dss_stack.errors import ServerMissing


def play(plan: Plan, folder: Path) -> Outcome:
    try:
        return run(plan, folder, SYSROOT, print)
    except ServerMissing as error:
        missing(str(error))
