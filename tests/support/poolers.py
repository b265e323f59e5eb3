"""A PgBouncer of our own before a test's PostgreSQL."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from conftest import missing
from dss_stack.ports import is_free
from dss_stack.privileges import postgres_run_as
from support.stacks import free_port
from support.waiting import wait_until

WHERE = "/usr/sbin:/usr/bin:/usr/local/bin"


@contextmanager
def pgbouncer(database_url: str, folder: Path, *, connections: int = 3) -> Iterator[str]:
    """The address of the same database through a PgBouncer that pools transactions.

    ``connections`` to the server, far fewer than clients have.
    """
    program = shutil.which("pgbouncer", path=WHERE)
    if program is None:
        missing("PgBouncer is not installed: the package pgbouncer.")
    server, port = urlsplit(database_url), free_port()
    (folder / "users.txt").write_text(
        f'"{server.username}" "{server.password}"\n', encoding="utf-8"
    )
    (folder / "pgbouncer.ini").write_text(
        f"""[databases]
* = host={server.hostname} port={server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 200
"""
    )
    us = postgres_run_as()
    for path in (folder, *folder.iterdir()):
        os.chown(path, us.owner, -1)
    with (folder / "pgbouncer.log").open("wb") as log:
        process = subprocess.Popen(
            [*us.prefix, program, "pgbouncer.ini"], cwd=folder, stdout=log, stderr=log
        )
    try:
        wait_until(lambda: not is_free(port), 10, (folder / "pgbouncer.log").read_text)
        yield database_url.replace(f":{server.port}/", f":{port}/")
    finally:
        process.terminate()
        process.wait(10)
