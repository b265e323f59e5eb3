"""The portal's application by several servers and event loops, in turns: polls, submissions, uploads, downloads, CPU.

``python tests/bench/bench_servers.py``: some minutes.  Servers that the portal does not use are installed in a
temporary folder.  All run at the same time as replicas of one site.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Annotated

import httpx
import typer

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.side_by_side import loads, sides
from bench.side_by_side.client import MB
from bench.side_by_side.loads import Measured
from bench.side_by_side.sides import Side
from support import commands
from support.stacks import Stack, free_port, leave_nothing_running
from support.waiting import wait_until

PACKAGES = ("uvicorn==0.54.0", "uvloop==0.23.0", "httptools", "granian==2.8.7")
OURS = "the site's first portal"
SERVERS = (
    "hypercorn plain",
    "hypercorn",
    "hypercorn uvloop",
    "hypercorn plain uvloop",
    "uvicorn asyncio h11",
    "uvicorn uvloop httptools",
    "granian asyncio",
    "granian uvloop",
)
"""``plain``: with our own reading of plain requests, as the portal is shipped.  The first portal is the same, but also
handles the site's events.
"""


@dataclass(frozen=True, kw_only=True)
class Found:
    """``rate`` as the row says; ``cpu_us`` of the server for one of its units."""

    rate: float
    cpu_us: float


def bench(
    *,
    repeat: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[float, typer.Option(help="Of each row.")] = 2.0,
    servers: Annotated[str, typer.Option(help="With commas; all if empty.")] = "",
    only: Annotated[str, typer.Option(help="Rows that begin so.")] = "",
) -> None:
    leave_nothing_running()
    with tempfile.TemporaryDirectory(prefix="dss-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        _install(folder / "servers")
        rabbit, postgres = stack.enter_context(sides.servers(folder))
        site, ours = stack.enter_context(sides.our_site(folder / "site", rabbit, postgres, 2000))
        others = servers.split(",") if servers else SERVERS
        begun = [_served_by(other, site, ours, folder / "servers") for other in others]
        compared = [replace(ours, name=OURS), *(_ready(side, site) for side in begun)]
        for row, load in _rows(seconds).items():
            if not row.startswith(only):
                continue
            found: dict[str, list[Found | str]] = {side.name: [] for side in compared}
            for _ in range(repeat):
                for side in compared:
                    found[side.name].append(_measured(side, load))
            _tell(row, found)


def _install(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
    subprocess.run([*pip, *PACKAGES, "click"], check=True, timeout=300)


def _rows(seconds: float) -> dict[str, Callable[[Side], Measured]]:
    return {
        "status polls/s, 32 clients": lambda side: loads.poll(side, "status", 32, seconds),
        "submissions/s, 8 clients": lambda side: loads.submit(side, seconds),
        "256 MB upload, MB/s": lambda side: loads.upload(side, 256 * MB)[0],
        "256 MB download, MB/s": lambda side: loads.download(side, 256 * MB, 1),
    }


def _measured(side: Side, load: Callable[[Side], Measured]) -> Found | str:
    before_s = side.cpu_s()
    try:
        measured = load(side)
    except (OSError, AssertionError, httpx.HTTPError) as error:
        return repr(error)
    if not measured.units:
        return f"{measured.errors} errors, nothing done"
    return Found(rate=measured.value, cpu_us=(side.cpu_s() - before_s) * 1e6 / measured.units)


def _tell(row: str, found: dict[str, list[Found | str]]) -> None:
    typer.echo(row)
    for name, all_of in found.items():
        values = [one for one in all_of if isinstance(one, Found)]
        if not values:
            typer.echo(f"  {name:34} fails: {all_of[0]}")
            continue
        rate, cpu_us = median(v.rate for v in values), median(v.cpu_us for v in values)
        typer.echo(f"  {name:34}{rate:9.0f}  {cpu_us:9.0f} us of CPU for each")


def _served_by(server: str, site: Stack, ours: Side, folder: Path) -> Side:
    """Start a further portal of the site, by ``server``; users and tickets are those of ``ours``."""
    port, program = free_port(), server.replace(" ", "-")
    site.start_one(
        program,
        "bench.served_by",
        server,
        DSS_BIND=f"127.0.0.1:{port}",
        DSS_INSTANCE=program,
        PYTHONPATH=f"{Path(__file__).parents[1]}:{folder}",
    )
    pid = site.running[program].pid
    return replace(ours, name=server, url=f"http://127.0.0.1:{port}", pids=[pid])


def _ready(side: Side, site: Stack) -> Side:
    """The portal when it answers, with the processes that it has started."""
    wait_until(lambda: _answers(side.url), 240, site.logs)
    return replace(side, pids=[*side.pids, *sides.children(side.pids[0])])


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    commands.run(bench)
