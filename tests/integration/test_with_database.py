"""PostgreSQL's own programs reach the database by every address that the portal takes: ``dss-portal with-database``."""

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dss_stack.postgres import PostgresCluster
from dss_stack.servers import Programs, find_postgres
from support.databases import execute, make_database, value
from support.poolers import pgbouncer
from support.stacks import free_port

pytestmark = [pytest.mark.stack]


def with_database(
    programs: Programs, url: str, name: str, *arguments: str, **variables: str
) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-m", "dss_portal", "with-database", str(programs.path(name))]
    return subprocess.run(
        [*words, *arguments],
        env={**os.environ, **programs.environment, "DSS_DATABASE_URL": url, **variables},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.fixture
def programs(postgres: PostgresCluster) -> Programs:
    return find_postgres(postgres.sysroot)


@pytest.mark.parametrize(
    "form",
    [
        "postgres://{user}:{password}@{host}:{port}{path}?maxsize=3&minsize=2&statement_cache_size=0",
        "postgresql://{user}:{password}@{host}:{port}{path}?connect_timeout=5&sslmode=disable&gssencmode=disable",
        "postgresql://{user}:{password}@{host}:{port}{path}?application_name=a&fallback_application_name=f",
        "postgresql://{user}:{password}@{host}:{port}{path}?client_encoding=auto&load_balance_hosts=disable",
        "postgres://{user}:{password}@127.0.0.1:{other},{host}:{port}{path}?target_session_attrs=primary",
        "postgres://{path}?hostaddr=127.0.0.1&port={port}&user={user}&password={password}",
        "host={host} port={port} user={user} password={password} dbname={name} maxsize=3",
    ],
)
def test_a_program_reaches_the_database_by_any_address(
    database_url: str, programs: Programs, form: str
) -> None:
    there = urlsplit(database_url)
    parts = {"user": there.username, "password": there.password, "path": there.path}
    url = form.format(
        **parts, host=there.hostname, port=there.port, name=there.path[1:], other=free_port()
    )
    ask = ("--no-psqlrc", "--tuples-only", "--no-align", "--command", "SELECT current_database()")

    done = with_database(programs, url, "psql", *ask, PGSERVICE="another")

    assert (done.returncode, done.stdout.strip()) == (0, there.path[1:]), done.stderr


def test_a_backup_is_made_and_restored_for_its_owner_alone(
    postgres: PostgresCluster, database_url: str, programs: Programs, tmp_path: Path
) -> None:
    dump = tmp_path / "dss.dump"
    asyncio.run(execute(database_url, "CREATE TABLE kept AS SELECT 7 AS number"))
    other = make_database(postgres.database_url, "restored")
    to_file = ("--format", "custom", "--file", str(dump))

    made = with_database(programs, f"{database_url}?maxsize=3", "pg_dump", *to_file)
    back = ("--clean", "--if-exists", "--no-owner", "--dbname", "postgres://", str(dump))
    restored = with_database(programs, f"{other}?maxsize=3", "pg_restore", *back)

    assert (made.returncode, made.stderr) == (0, "")
    assert stat.S_IMODE(dump.stat().st_mode) == 0o600
    assert (restored.returncode, restored.stderr) == (0, "")
    assert asyncio.run(value(other, "SELECT number FROM kept")) == 7


def test_a_pooler_is_refused(database_url: str, programs: Programs, tmp_path: Path) -> None:
    """pg_dump empties the search path of its session, which the pooler would then give to a portal."""
    with pgbouncer(database_url, tmp_path) as pooled:
        done = with_database(programs, pooled, "pg_dump", "--file", str(tmp_path / "dump"))

    assert done.returncode == 2
    assert "leads to a connection pooler" in done.stderr
    assert not (tmp_path / "dump").exists()


def test_a_program_that_is_not_there_is_a_sentence(database_url: str) -> None:
    words = [sys.executable, "-m", "dss_portal", "with-database", "pg_nothing", "--file", "x"]

    done = subprocess.run(
        words,
        env={**os.environ, "DSS_DATABASE_URL": database_url},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr.startswith("There is no program pg_nothing here")
