"""What each page costs the portal on a site with very many tickets.

``python tests/bench/bench_pages.py`` (``--waiting 100000``: all of them wait): a site with something of everything (``support.showcase``) and 100,000 tickets
more of about a year, half of them those of the user who looks.  Each page of the table of routes is asked for ROUNDS
times by a user, by a sysadmin and by a visitor.  The time is that of the answer's last byte; beside it is what portal
and PostgreSQL need of a processor, because a busy machine makes an answer late.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Annotated

import httpx
import typer

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.side_by_side import sides
from support import commands, loopback, showcase, sites
from support.brokers import fresh_vhost
from support.routes import NOWHERE, page_visits
from support.showcase import Showcase
from support.stacks import leave_nothing_running

ROUNDS = 9
GOAL_MS = 150

_FILL = """
INSERT INTO ticket (user_id, service_id, status, created_at, queued_at, announced_at, announcements, title, verdict)
    SELECT CASE WHEN i % 2 = 0 THEN $1::int ELSE $2 END, $3,
        CASE WHEN i > $4 - $5::int THEN 'ready' WHEN i % 5 = 0 THEN 'failed' ELSE 'success' END,
        now() - ($4 - i) * interval '5 minutes', now(), now(), 1, 'CT ' || i, ''
    FROM generate_series(1, $4::int) AS i
"""
_HISTORY = """
INSERT INTO ticket_history (ticket_id, status, at)
    SELECT id, step, created_at
    FROM ticket, unnest(ARRAY['init', 'ready', 'claimed', 'success']) AS step WHERE title LIKE 'CT %'
"""
_LOG = """
INSERT INTO ticket_log (ticket_id, at, category, message)
    SELECT id, now(), CASE WHEN i = 3 THEN 'error' ELSE 'info' END, 'Line ' || i
    FROM ticket, generate_series(1, 3) AS i WHERE title LIKE 'CT %'
"""


def bench(
    tickets: Annotated[int, typer.Option(help="Of the whole site.", min=1)] = 100_000,
    waiting: Annotated[int, typer.Option(help="The newest of them, which wait.", min=0)] = 40,
) -> None:
    leave_nothing_running()
    with _site(tickets, waiting) as shown, shown.site.program(sites.ROOT) as root:
        visitor = loopback.client(base_url=shown.site.url, timeout=60)
        clients = {"user": shown.user, "root": root, "nobody": visitor}
        late = []
        typer.echo(f"{'page':52}{'median ms':>10}{'worst ms':>10}{'CPU ms':>8}")
        for who, paths in page_visits(shown).items():
            for path in paths:
                ms = _measured(clients[who], path, who, shown)
                if ms > GOAL_MS:
                    late.append(path)
        typer.echo(
            f"pages that need more than {GOAL_MS} ms of a processor: {', '.join(late) or 'none'}"
        )


def _measured(client: httpx.Client, path: str, who: str, shown: Showcase) -> float:
    """The processor's milliseconds; a line tells them."""
    headers = {"Accept": "text/html"}
    client.get(path, headers=headers)  # what is read once
    used_s, times_ms = _cpu_s(shown), []
    for _ in range(ROUNDS):
        began_s = time.monotonic()
        answer = client.get(path, headers=headers)
        times_ms.append(1000 * (time.monotonic() - began_s))
        if answer.status_code != (httpx.codes.NOT_FOUND if path == NOWHERE else httpx.codes.OK):
            raise SystemExit(f"{path} answers {answer.status_code}: {answer.text[:500]}")
    cpu_ms = 1000 * (_cpu_s(shown) - used_s) / ROUNDS
    middle = median(times_ms)
    typer.echo(f"{who + ' ' + path:52}{middle:10.0f}{max(times_ms):10.0f}{cpu_ms:8.0f}")
    return cpu_ms


def _cpu_s(shown: Showcase) -> float:
    """Of the portal and of PostgreSQL."""
    data = shown.site.stack.folder.parent / "postgres" / "data"
    found = sides.cpu_s(shown.site.stack.running["portal"].pid)
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found += sides.cpu_s(int(process.name)) if (process / "cwd").readlink() == data else 0
    return found


@contextmanager
def _site(tickets: int, waiting: int) -> Iterator[Showcase]:
    with tempfile.TemporaryDirectory(prefix="dss-bench-") as name:
        folder = Path(name)
        for part in ("rabbit", "postgres", "site", "offer"):
            (folder / part).mkdir()
        with sides.servers(folder) as (rabbit, postgres), fresh_vhost(rabbit) as amqp_url:
            site = sites.start(amqp_url, postgres, folder / "site", DSS_REQUESTS_PER_MINUTE="0")
            try:
                with showcase.arranged(site, folder / "offer", showcase.COARSE) as shown:
                    _fill(shown, tickets, waiting)
                    yield shown
            finally:
                site.stack.stop()


def _fill(shown: Showcase, tickets: int, waiting: int) -> None:
    ((user,),) = shown.site.sql("SELECT id FROM user_account WHERE email = $1", showcase.USER)
    ((other,),) = shown.site.sql("SELECT id FROM user_account WHERE email = $1", showcase.CLAIMER)
    ((service,),) = shown.site.sql(
        "SELECT id FROM service WHERE name = $1 AND current", showcase.LUNGS
    )
    shown.site.sql(_FILL, user, other, service, tickets, waiting)
    for statement in (_HISTORY, _LOG, "ANALYZE"):
        shown.site.sql(statement)


if __name__ == "__main__":
    commands.run(bench)
