"""The work that is measured, the same for every side.

Plain polling is done by wrk, everything else by threads of this program.  Each load says how much of a core
its generator took: a row whose generator took more than half a core measures that, and is marked.
"""

import http.client
import json
import resource
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.side_by_side.client import MB, Client
from bench.side_by_side.sides import PROVIDER, Side

WRITERS = 8
WARM_UP = 3

_LUA = """
local sent, n = {}, 0
function init(arguments)
  for line in io.lines("%s") do
    local cookie, path = line:match("^(%%S+) (%%S+)$")
    sent[#sent + 1] = wrk.format("GET", path, {["Cookie"] = cookie})
  end
  n = math.random(#sent)
end
function request() n = n %% #sent + 1; return sent[n] end
function done(summary, latency, requests)
  local bad = summary.errors
  io.write(string.format('\\n{"requests": %%d, "us": %%d, "p50": %%d, "p99": %%d, "errors": %%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    bad.connect + bad.read + bad.write + bad.status + bad.timeout))
end
"""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """``value`` is a rate, except in a row of times; ``generator`` is the share of a core.

    ``units`` is how many of what the rate counts were done.
    """

    value: float
    generator: float
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    errors: int = 0
    units: float = 1.0


def poll(side: Side, what: str, clients: int, seconds: float) -> Measured:
    """``what``: "status" or "detail", of all the tickets that dialogs show."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk does the polling, and is not installed: apt-get install wrk")
    with tempfile.TemporaryDirectory() as name:
        targets, script = Path(name) / "targets", Path(name) / "poll.lua"
        targets.write_text("\n".join(_targets(side, what)) + "\n", encoding="utf-8")
        script.write_text(_LUA % targets, encoding="utf-8")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:g}s", "--timeout", "10s", "--latency"]
        said = subprocess.run(
            [*command, "-s", str(script), side.url],
            check=True,
            capture_output=True,
            encoding="utf-8",
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = json.loads(said.stdout.strip().splitlines()[-1])
    took_s = found["us"] / 1e6
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(
        value=found["requests"] / took_s,
        generator=used_s / took_s,
        p50_ms=found["p50"] / 1e3,
        p99_ms=found["p99"] / 1e3,
        errors=found["errors"],
        units=found["requests"],
    )


def _targets(side: Side, what: str) -> Iterator[str]:
    """Dialogs ask for what is new since the last line, which none is."""
    query = "?since=999999999" if what == "detail" else ""
    for user in side.users:
        for ticket in user.tickets:
            yield f"{user.cookie} /api/tickets/{ticket}/{what}{query}"


@dataclass
class Tally:
    """What all threads of a load have done."""

    seconds: list[float] = field(default_factory=list)
    errors: int = 0


def work(
    side: Side, seconds: float, step: Callable[[Client, int], bool], threads: int = WRITERS
) -> Measured:
    """``step`` again and again by each thread, until ``seconds`` are over or it returns False."""
    tally, ends_s = Tally(), time.monotonic() + seconds

    def run(number: int) -> None:
        client = Client(side, side.users[number % len(side.users)])
        while time.monotonic() < ends_s:
            began_s = time.monotonic()
            try:
                if not step(client, number):
                    return
            except (OSError, http.client.HTTPException, AssertionError):
                tally.errors += 1
                client = Client(side, side.users[number % len(side.users)])
                continue
            tally.seconds.append(time.monotonic() - began_s)

    began_s, began_cpu_s = time.monotonic(), time.process_time()
    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    took_s = time.monotonic() - began_s
    return Measured(
        value=len(tally.seconds) / took_s,
        generator=(time.process_time() - began_cpu_s) / took_s,
        p50_ms=percentile(tally.seconds, 50) * 1e3,
        p99_ms=percentile(tally.seconds, 99) * 1e3,
        errors=tally.errors,
        units=len(tally.seconds),
    )


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values) or [0.0]
    return ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))]


def submit(side: Side, seconds: float) -> Measured:
    """Create, a file of 1 MB, ready."""

    def step(client: Client, _: int) -> bool:
        new_ticket(client, side.githash, MB)
        return True

    return work(side, seconds, step)


def new_ticket(client: Client, githash: str, size_bytes: int) -> int:
    number = int(client.post("/api/tickets", githash=githash))
    client.send_file(f"/api/tickets/{number}/files/input", size_bytes)
    client.post(f"/api/tickets/{number}/status", status="ready")
    return number


def claim(side: Side, seconds: float, given: dict[int, list[int]]) -> Measured:
    """Each ticket must be given once; ``given`` gets the numbers by thread."""

    def step(client: Client, thread: int) -> bool:
        said = client.post(
            f"/api/pro/services/{side.githash}/claims", provider=PROVIDER, code=f"c{thread}"
        )
        if said == "-1":
            return False
        given.setdefault(thread, []).append(int(said))
        return True

    measured = work(side, seconds, step)
    numbers = [number for some in given.values() for number in some]
    assert len(set(numbers)) == len(numbers), "a ticket was given twice"
    return measured


def report(side: Side, seconds: float, given: dict[int, list[int]]) -> Measured:
    """Progress and a line of the log, in turns, each counted."""
    done = dict.fromkeys(range(WRITERS), 0)

    def step(client: Client, thread: int) -> bool:
        if not given.get(thread):
            return False
        done[thread] += 1
        ticket = given[thread][done[thread] // 20 % len(given[thread])]
        if done[thread] % 2:
            client.post(f"/api/pro/tickets/{ticket}/info", message="Another line")
            return True
        share = str(done[thread] % 100 / 100 or 0.5)
        path = f"/api/pro/tickets/{ticket}/progress"
        client.post(path, chunk_start="0", chunk_end="1", progress=share)
        return True

    return work(side, seconds, step)


def upload(side: Side, size_bytes: int) -> tuple[Measured, Measured]:
    """MB/s of one file, and the 95th percentile in ms of what another user asks meanwhile."""
    client, other = Client(side, side.users[0]), Client(side, side.users[1])
    number = int(client.post("/api/tickets", githash=side.githash))
    ends, waited = threading.Event(), []

    def ask() -> None:
        ticket = side.users[1].tickets[0]
        while not ends.is_set():
            began_s = time.monotonic()
            other.ask("GET", f"/api/tickets/{ticket}/status")
            waited.append(time.monotonic() - began_s)
            time.sleep(0.005)

    thread = threading.Thread(target=ask)
    thread.start()
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    client.send_file(f"/api/tickets/{number}/files/input", size_bytes)
    took_s, cpu_s = time.monotonic() - began_s, time.process_time() - began_cpu_s
    ends.set()
    thread.join()
    generator = cpu_s / took_s
    return (
        Measured(value=size_bytes / MB / took_s, generator=generator, units=size_bytes / MB),
        Measured(value=percentile(waited, 95) * 1e3, generator=generator),
    )


def download(side: Side, size_bytes: int, at_once: int) -> Measured:
    """MB/s of ``at_once`` readers together."""
    client = Client(side, side.users[0])
    number = int(client.post("/api/tickets", githash=side.githash))
    client.send_file(f"/api/tickets/{number}/files/input", size_bytes)
    path = f"/api/tickets/{number}/files/input/0"
    readers = [Client(side, side.users[0]) for _ in range(at_once)]
    threads = [threading.Thread(target=reader.fetch, args=(path,)) for reader in readers]
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s = time.monotonic() - began_s
    generator = (time.process_time() - began_cpu_s) / took_s
    units = at_once * size_bytes / MB
    return Measured(value=units / took_s, generator=generator, units=units)


def one_ticket(side: Side, rounds: int) -> Measured:
    """CPU ms of the server for a ticket: 1 MB, 8 lists, 8 details, 5 progress, 3 lines, download.

    The first WARM_UP tickets do not count: a server loads modules and prepares statements when they are first needed.
    """
    user = Client(side, side.users[0])
    for _ in range(WARM_UP):
        _through_one_ticket(side, user)
    began_s, began_cpu_s, used_s = time.monotonic(), time.process_time(), side.cpu_s()
    for _ in range(rounds):
        _through_one_ticket(side, user)
    took_s = time.monotonic() - began_s
    return Measured(
        value=(side.cpu_s() - used_s) / rounds * 1e3,
        generator=(time.process_time() - began_cpu_s) / took_s,
    )


def _through_one_ticket(side: Side, user: Client) -> None:
    """All requests of a ticket, whose dialog asks for what is new since the last line that it has."""
    number = new_ticket(user, side.quiet, MB)
    claims = f"/api/pro/services/{side.quiet}/claims"
    assert user.post(claims, provider=PROVIDER, code="cpu") == str(number)
    seen, lines = 0, 0
    for turn in range(8):
        if turn < 5:
            path, share = f"/api/pro/tickets/{number}/progress", str((turn + 1) / 10)
            user.post(path, chunk_start="0", chunk_end="1", progress=share)
        if turn < 3:
            user.post(f"/api/pro/tickets/{number}/info", message="A line")
        user.ask("GET", "/api/tickets?format=json")
        answer = user.ask("GET", f"/api/tickets/{number}/detail?since={seen}")
        log = json.loads(answer)["result"]["log"]
        seen, lines = max([seen, *(line["id"] for line in log)]), lines + len(log)
    assert lines >= 3, "the dialog did not show all lines"
    user.fetch(f"/api/tickets/{number}/files/input/0")
