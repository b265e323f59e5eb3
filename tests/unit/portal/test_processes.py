"""A portal of several processes ends if one of them cannot start."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys, time, typer
from dss_portal.processes import serve_in_many
from dss_portal.settings import Settings
settings = Settings(database_url="postgres://u@h/d", amqp_url="amqp://h", datastore="/d", secret_key="k",
    instance="p", portal_processes=2)

def serve(own):
    if own.instance == "p-2":
        raise typer.Exit(3)
    time.sleep(60)

sys.exit(serve_in_many(settings, serve, 10))
"""


@pytest.mark.timeout(60)
def test_a_process_that_cannot_start_ends_the_portal_with_its_status() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], check=False, timeout=50)

    assert ended.returncode == 3
