"""What is done to a site, one fault after the other, as a seed says."""

import asyncio
import math
import random
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import asyncpg

from chaos.bucket import OF_THE_LINK, BucketStore
from chaos.disk import OF_THE_DISK, Disk
from chaos.site import Program, Site
from support.databases import number_from

ONE_LINK = 0.5
"""Share of the faults of links that strike one program only."""

CLAIM_S = 10.0
_HELD = """
SELECT count(*) FROM ticket JOIN claim ON claim.id = ticket.claim_id
WHERE ticket.status = 'claimed' AND claim.instance = '{}'
"""

FREEZES = 10
LAG_S = 2.0
"""After this time the portal has stored what a frozen dispatcher had sent."""

OUTBOX_S = 60.0
LEAST_LOST = 12
"""Smallest number of announcements in the outbox when the portals of a run without it are killed.  A dispatcher that reads
an announcement takes the ticket that waits longest, so a repeated announcement makes up for a lost one.
"""
_SUBMITTED = "SELECT count(*) FROM outbox WHERE type_name = 'TicketReady'"

Harm = Callable[[Site, random.Random], str]
"""Does the damage and mends it again; answers whom it hit."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Times in seconds since 1970.  Recovery counts ``from_s``: at a kill at once, else when the cause ends.

    ``recovery_s`` is None if the next fault struck before, infinite if it was not seen in time.
    ``alone``: the site had recovered from the fault before.
    """

    kind: str
    victim: str
    began_s: float
    from_s: float
    recovery_s: float | None = None
    alone: bool = True

    @property
    def recovered(self) -> bool:
        """Whether that was seen."""
        return self.recovery_s is not None and math.isfinite(self.recovery_s)

    @property
    def single_kill(self) -> bool:
        """Whether one kill is all that the site had to recover from."""
        return self.alone and self.kind in _KILLS


def kill(program: str) -> Harm:
    def harm(site: Site, rng: random.Random) -> str:
        victim = _one(site, program, rng)
        victim.end(signal.SIGKILL)
        time.sleep(rng.uniform(0, 1))
        victim.start()
        return victim.name

    return harm


def kill_all(program: str) -> Harm:
    def harm(site: Site, rng: random.Random) -> str:
        victims = [p for p in site.programs.values() if p.name.startswith(program)]
        for victim in victims:
            victim.end(signal.SIGKILL)
        time.sleep(rng.uniform(0, 1))
        for victim in victims:
            victim.start()
        return f"{len(victims)} x {program}"

    return harm


def restart(program: str) -> Harm:
    """As an operator would: asked to stop, given time."""

    def harm(site: Site, rng: random.Random) -> str:
        victim = _one(site, program, rng)
        victim.end(signal.SIGTERM)
        victim.start()
        return victim.name

    return harm


def freeze(program: str) -> Harm:
    """Long enough that a lease lapses.  A dispatcher is frozen while it holds a claim, if it gets one in time."""

    def harm(site: Site, rng: random.Random) -> str:
        victim = _one(site, program, rng)
        if program == "dispatch":
            _freeze_at_work(site, victim)
        victim.send(signal.SIGSTOP)
        time.sleep(site.lease_s + rng.uniform(3, 7))
        victim.send(signal.SIGCONT)
        return victim.name

    return harm


def _freeze_at_work(site: Site, dispatcher: Program) -> None:
    """Freeze the dispatcher while it holds a claim, and return; after FREEZES tries it may hold none.

    The database may show a claim that has ended, because the portal has not yet read the dispatcher's last messages.
    """
    held = _HELD.format(dispatcher.name)
    for _ in range(FREEZES):
        _wait_until(site, held, CLAIM_S)
        dispatcher.send(signal.SIGSTOP)
        time.sleep(LAG_S)
        if _wait_until(site, held, 0):
            return
        dispatcher.send(signal.SIGCONT)


def kill_rabbitmq(site: Site, _: random.Random) -> str:
    site.rabbit.kill()
    site.rabbit.start()
    return "rabbitmq"


def kill_postgres(site: Site, _: random.Random) -> str:
    site.postgres.kill()
    site.postgres.start()
    return "postgres"


def broker_away_and_portals_killed(site: Site, rng: random.Random) -> str:
    """What was submitted meanwhile lies in the outbox alone."""
    site.rabbit.kill()
    time.sleep(rng.uniform(3, 4))
    waiting = _wait_until(site, _SUBMITTED, OUTBOX_S, LEAST_LOST if site.sabotage else 1)
    victim = kill_all("portal")(site, rng)
    site.rabbit.start()
    return f"rabbitmq, {victim}, {waiting} announcements in the outbox"


def cut_amqp(site: Site, _: random.Random) -> str:
    return f"{site.cut_connections()} connections"


def cut_postgres(site: Site, _: random.Random) -> str:
    return f"{asyncio.run(_terminate_backends(site.postgres.database_url))} connections"


def fill_disk(site: Site, rng: random.Random) -> str:
    disk = _disk(site)
    disk.fill()
    time.sleep(rng.uniform(2, 4))
    disk.free()
    return "datastore"


def unmount_disk(site: Site, rng: random.Random) -> str:
    disk = _disk(site)
    disk.unmount()
    time.sleep(rng.uniform(2, 4))
    disk.mount()
    return "datastore"


def _disk(site: Site) -> Disk:
    assert isinstance(site.store, Disk)
    return site.store


def hurt_link(kind: str) -> Harm:
    """Of one program, or of all."""

    def harm(site: Site, rng: random.Random) -> str:
        assert isinstance(site.store, BucketStore)
        links = dict(site.store.links)
        one = rng.choice(list(links))
        if rng.random() < ONE_LINK:
            links = {one: links[one]}
        for link in links.values():
            OF_THE_LINK[kind](link)
        time.sleep(rng.uniform(2, 5))
        for link in links.values():
            link.mend()
        return one if len(links) == 1 else "all programs"

    return harm


def portals_away(site: Site, _: random.Random) -> str:
    victims = [p for p in site.programs.values() if p.name.startswith("portal")]
    for victim in victims:
        victim.end(signal.SIGKILL)
    time.sleep(site.outage_s)
    for victim in victims:
        victim.start()
    return f"{len(victims)} x portal"


def server_away(name: str) -> Harm:
    """``rabbit`` or ``postgres``."""

    def harm(site: Site, _: random.Random) -> str:
        server = getattr(site, name)
        server.kill()
        time.sleep(site.outage_s)
        server.start()
        return name

    return harm


OUTAGES: dict[str, Harm] = {
    "all portals away for minutes": portals_away,
    "RabbitMQ away for minutes": server_away("rabbit"),
    "PostgreSQL away for minutes": server_away("postgres"),
}
"""Longer than any program waits for an answer, and than the longest retry."""

KINDS: dict[str, Harm] = {
    "kill a portal": kill("portal"),
    "kill a dispatcher": kill("dispatch"),
    "kill a worker": kill("inference"),
    "kill all portals": kill_all("portal"),
    "kill all dispatchers": kill_all("dispatch"),
    "kill all workers": kill_all("inference"),
    "kill RabbitMQ": kill_rabbitmq,
    "kill PostgreSQL": kill_postgres,
    "kill portals while RabbitMQ is away": broker_away_and_portals_killed,
    "cut the broker's connections": cut_amqp,
    "cut the database's connections": cut_postgres,
    "freeze a portal": freeze("portal"),
    "freeze a dispatcher": freeze("dispatch"),
    "freeze a worker": freeze("inference"),
    "fill the datastore": fill_disk,
    "unmount the datastore": unmount_disk,
    "restart a portal": restart("portal"),
    "restart a dispatcher": restart("dispatch"),
    "restart a worker": restart("inference"),
    **{kind: hurt_link(kind) for kind in OF_THE_LINK},
}

OF_DATASTORES = OF_THE_DISK | frozenset(OF_THE_LINK)
"""Only with such a datastore."""

_KILLS = frozenset(kind for kind in KINDS if kind.startswith("kill ") and "while" not in kind)


def schedule(count: int, rng: random.Random, kinds: Sequence[str]) -> list[str]:
    """Every kind as often as the others, in an order of chance."""
    drawn: list[str] = []
    while len(drawn) < count:
        drawn += rng.sample(kinds, len(kinds))
    return drawn[:count]


def inject(site: Site, kind: str, rng: random.Random) -> Fault:
    began_s = time.time()
    victim = {**KINDS, **OUTAGES}[kind](site, rng)
    from_s = began_s if kind in _KILLS else time.time()
    return Fault(kind=kind, victim=victim, began_s=began_s, from_s=from_s)


def _one(site: Site, program: str, rng: random.Random) -> Program:
    return rng.choice([p for p in site.programs.values() if p.name.startswith(program)])


def _wait_until(site: Site, count: str, most_s: float, least: int = 1) -> int:
    """What the statement ``count`` answers, once it is at least ``least``, or after ``most_s``; 0 without a database."""
    ends_s, found = time.monotonic() + most_s, 0
    while True:
        with suppress(
            OSError, asyncpg.PostgresError, asyncpg.InterfaceError
        ):  # the database is away
            found = asyncio.run(number_from(site.postgres.database_url, count))
        if found >= least or time.monotonic() > ends_s:
            return found
        time.sleep(0.05)


async def _terminate_backends(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(
            await connection.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    finally:
        await connection.close()
