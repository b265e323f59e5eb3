"""The drill of docs/pages/operators/operate.md: a backup made under work, restored into an empty site."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from conftest import CHECKOUT
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from dss_stack.servers import find_postgres
from support import sites
from support.brokers import fresh_vhost
from support.databases import make_database
from support.sites import Site, claim, finish, new_ticket
from support.stacks import Stack
from support.waiting import wait_until

pytestmark = pytest.mark.stack


def with_database(postgres: PostgresCluster, url: str, name: str, *words: str) -> None:
    programs = find_postgres(postgres.sysroot)
    command = [sys.executable, "-m", "dss_portal", "with-database", str(programs.path(name))]
    variables = {**os.environ, **programs.environment, "DSS_DATABASE_URL": f"{url}?maxsize=5"}
    subprocess.run([*command, *words], env=variables, check=True)


def back_up(postgres: PostgresCluster, url: str, folder: Path) -> Path:
    """Run the page's command for the database, as printed, in ``folder``; the file that it writes."""
    text = (CHECKOUT / "docs/pages/operators/operate.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^dss-portal with-database pg_dump .*$", text, re.MULTILINE)
    programs = find_postgres(postgres.sysroot)
    places = [
        Path(sys.executable).parent,
        Path(programs.path("pg_dump")).parent,
        os.environ["PATH"],
    ]
    settings = {"DSS_DATABASE_URL": f"{url}?maxsize=5", "PATH": ":".join(map(str, places))}
    variables = {**os.environ, **programs.environment, **settings}
    subprocess.run(["bash", "-c", command], cwd=folder, env=variables, check=True)
    return folder / "dss.dump"


def statuses(user: httpx.Client) -> dict[int, str]:
    rows = user.get("/api/tickets?format=json").json()["result"]
    return {row["id"]: row["status"] for row in rows}


def result(user: httpx.Client, ticket: int) -> bytes:
    return user.get(f"/api/tickets/{ticket}/files/results/0").raise_for_status().content


def restored(site: Site, postgres: PostgresCluster, dump: Path, copy: Path, amqp_url: str) -> Site:
    """As the page says, with a broker that knows nothing."""
    url = make_database(postgres.database_url, "restored")
    from_dump = ("--clean", "--if-exists", "--no-owner", "--dbname", "postgres://", str(dump))
    with_database(postgres, url, "pg_restore", *from_dump)
    stack = Stack(
        folder=copy.parent, amqp_url=amqp_url, database_url=url, settings=site.stack.settings
    )
    stack.start("portal")
    stack.start_one("check", "dss_dispatch", "check-results")
    wait_until(stack.portal_ready, 60, stack.logs)
    return Site(stack=stack)


def test_a_restored_site_has_every_ticket_and_goes_on(
    rabbit: RabbitNode, postgres: PostgresCluster, tmp_path: Path
) -> None:
    copy = tmp_path / "new" / "datastore"
    with fresh_vhost(rabbit) as amqp_url:
        old = sites.start(amqp_url, postgres, tmp_path)
        try:
            old.offer(tmp_path, "hospital")
            old.stack.token("pat@example.com")
            old.stack.command("providers", "add-user", "hospital", "pat@example.com")
            with (
                old.program("ann@example.com", "--tier", "poweruser") as ann,
                old.program("pat@example.com") as pat,
            ):
                done, worked_on, waiting = (new_ticket(ann) for _ in range(3))
                assert claim(pat, "hospital", "lung-segmentation") == done
                finish(pat, done, "success")
                assert claim(pat, "hospital", "lung-segmentation") == worked_on
                unfinished = int(ann.post("/api/tickets", data={"name": "lung-segmentation"}).text)
                before, bytes_before = statuses(ann), result(ann, done)
                dump = back_up(postgres, old.stack.database_url, tmp_path)
                late = new_ticket(ann)
                copy.parent.mkdir()
                shutil.copytree(old.stack.datastore, copy)
        finally:
            old.stack.stop()

    with fresh_vhost(rabbit) as amqp_url:
        new = restored(old, postgres, dump, copy, amqp_url)
        try:
            with new.program("ann@example.com") as ann, new.program("pat@example.com") as pat:
                assert statuses(ann) == before
                assert before == {
                    done: "success",
                    worked_on: "claimed",
                    waiting: "ready",
                    unfinished: "init",
                }
                assert late not in statuses(ann)
                assert result(ann, done) == bytes_before

                assert claim(pat, "hospital", "lung-segmentation") == waiting
                finish(pat, waiting, "success")
                finish(pat, worked_on, "success")
                assert statuses(ann)[worked_on] == "success"
        finally:
            new.stack.stop()
