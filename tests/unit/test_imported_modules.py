"""Imports are most of what a start costs, so each program imports at most so many modules, whatever the machine."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

COUNT = "import sys\ntry:\n    {}\nfinally:\n    print('imported', *sys.modules, sep='\\n')"
COMMAND = "sys.argv = {}; from {} import main; main()"
LIMITS = {
    "dss --help": (COMMAND.format(["dss", "--help"], "dss_client.start"), 250),
    "dss-portal --help": (COMMAND.format(["dss-portal", "--help"], "dss_portal.start"), 450),
    "dss-dispatch --help": (COMMAND.format(["dss-dispatch", "--help"], "dss_dispatch.start"), 450),
    "dss-inference --help": (
        COMMAND.format(["dss-inference", "--help"], "dss_inference.start"),
        450,
    ),
    "dss-phantom --help": (
        COMMAND.format(["dss-phantom", "--help"], "dss_phantom.__main__"),
        450,
    ),
    "dss-portal users add": (
        COMMAND.format(["dss-portal", "users", "add", "--help"], "dss_portal.start"),
        800,
    ),
    "dss-portal serve": ("import dss_portal.__main__", 1500),
    "dss-dispatch serve": ("import dss_dispatch.__main__", 900),
    "dss-inference serve": ("import dss_inference.__main__, dss_inference.worker.server", 750),
}
"""A tenth or so above what it was on 2026-11-29."""
NEVER = {
    "dss --help": {"httpx", "pydantic", "rich", "msgspec", "asyncio"},
    "dss-portal --help": {"quart", "pydantic", "tortoise", "asyncpg"},
    "dss-dispatch --help": {"pika", "pydantic", "numpy"},
    "dss-inference --help": {"pika", "pydantic", "numpy"},
    "dss-phantom --help": {"torch", "scipy", "numpy"},
    "dss-portal users add": {"quart", "cryptography", "authlib", "pika", "SimpleITK", "numpy"},
    "dss-portal serve": {"SimpleITK", "torch", "scipy"},
    "dss-dispatch serve": {"torch", "quart", "tortoise"},
    "dss-inference serve": {"torch", "monai", "scipy", "SimpleITK"},
}


@pytest.mark.parametrize("program", LIMITS)
def test_a_start_imports_few_modules_and_none_that_is_not_needed(program: str) -> None:
    statement, most = LIMITS[program]

    said = subprocess.run(
        [sys.executable, "-c", COUNT.format(statement)],
        check=True,
        capture_output=True,
        encoding="utf-8",
    ).stdout

    imported = set(said.partition("imported\n")[2].splitlines())
    assert len(imported) <= most
    assert not NEVER[program] & imported
