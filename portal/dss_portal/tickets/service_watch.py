"""Finds out periodically which services lack a program that serves them, and reports it: as Prometheus metrics, and in
the logs of the tickets that wait for it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tortoise.connection import get_connection

from dss_broker.broker import Broker
from dss_observability import metrics
from dss_portal import database
from dss_portal.database import clock, waiting
from dss_portal.services import liveness
from dss_portal.services.liveness import SENTENCES, MissingProgram, ServiceAvailability

log = logging.getLogger(__name__)

PERIOD_S = 2.0

GRACE_S = 30.0
"""A missing dispatcher or worker is reported to users only after it has been missing for this time in seconds, because
a restart takes less.
"""

_BATCH = 500

# The dispatcher of a claimed ticket is watched by the lease, so only its worker can be missing.
_TELL = f"""
WITH told AS (
    UPDATE ticket SET missed = $1 WHERE id IN (
        SELECT ticket.id FROM ticket JOIN service ON service.id = ticket.service_id
        WHERE service.name = $2 AND service.current = $6 AND ticket.missed <> $1
            AND (service.id = ANY($7)) = ($1 = 'version')
            AND (ticket.status = 'ready' OR (ticket.status = 'claimed' AND $1 NOT IN ('dispatcher', 'removed', 'version')))
        ORDER BY ticket.id LIMIT {_BATCH} FOR UPDATE OF ticket SKIP LOCKED)
    RETURNING id
)
INSERT INTO ticket_log (ticket_id, at, category, message) SELECT id, $3, $4, $5 FROM told RETURNING id
"""  # noqa: S608 - constants of ours


class ServiceWatch:
    """Watches which programs serve each service, and reports changes.  Every portal process has one."""

    def __init__(self, broker: Broker, on_change: Callable[[], None] = lambda: None) -> None:
        """``on_change`` is called after the first look, and when the number of programs that take a service's tickets
        has changed, or when the service lacks another kind of program than before.
        """
        self._broker = broker
        self._on_change = on_change
        self._known: dict[str, tuple[object, ...]] = {}
        self._since_s: dict[_Lack, float] = {}
        self._services: set[str] = set()
        self._bundles: set[str] = set()

    async def run(self) -> None:
        """Call ``check`` every PERIOD_S seconds, until cancelled.  An error is logged, and the next round tries again."""
        while True:
            try:
                await self.check()
            except Exception as error:
                if await waiting.for_schema(error):
                    continue
                facts, trace = {"reason": repr(error)}, database.exc_info_of(error)
                log.warning("presence not refreshed", extra=facts, exc_info=trace)
            await asyncio.sleep(PERIOD_S)

    async def check(self) -> int:
        """Find out once which programs serve each service: call ``on_change`` if that has changed, set the metrics, and
        report missing programs in tickets' logs.  Returns the number of logs that got a line.
        """
        found = await liveness.availability()
        known: dict[str, tuple[object, ...]] = {
            name: (each.dispatchers, each.missing, each.missing_of_removed, each.unserved)
            for name, each in found.items()
        }
        if known != self._known:
            self._known = known
            self._on_change()
        await self._measure(found)
        return await self._tell(found)

    async def _measure(self, found: dict[str, ServiceAvailability]) -> None:
        """Set the metrics about the programs of each service.  A service that is offered and was ever served has a
        value, which is 0 while no program serves it.

        The number of workers of a bundle stays among the metrics, as 0, when all of them have ended.
        """
        served = {n: s.heard_at for n, s in found.items() if s.offered and s.heard_at is not None}
        for name in self._services - served.keys():
            metrics.DISPATCHERS.remove(name)
            metrics.SERVICE_SILENT_SECONDS.remove(name)
        self._services = set(served)
        for name, heard_at in served.items():
            metrics.DISPATCHERS.labels(name).set(found[name].dispatchers)
            silent_s = (clock.now() - heard_at).total_seconds()
            metrics.SERVICE_SILENT_SECONDS.labels(name).set(max(0.0, silent_s))
        at_work = await liveness.workers_by_bundle()
        self._bundles.update(at_work)
        for bundle in self._bundles:
            metrics.WORKERS.labels(bundle).set(at_work.get(bundle, 0))

    async def _tell(self, found: dict[str, ServiceAvailability]) -> int:
        """Report in tickets' logs which programs are missing, or that none is missing any more.  Returns the number of
        logs that got a line.

        A missing dispatcher or worker is reported when it has been missing for GRACE_S; a provider over HTTP, or a
        removed service that no dispatcher has served, at once.  Nothing is reported while the broker is not connected, because announcements of programs arrive through
        it.
        """
        if not self._broker.connected:
            self._since_s.clear()
            return 0
        now_s = time.monotonic()
        self._since_s = {lack: self._since_s.get(lack, now_s) for lack in _lacks(found)}
        due = [
            lack
            for lack, since_s in self._since_s.items()
            if _is_sure(lack, found[lack.service]) or since_s + GRACE_S <= now_s
        ]
        return sum([await _log_missing(lack) for lack in due])


@dataclass(frozen=True, kw_only=True)
class _Lack:
    """What the offered (``current``) or the removed versions of a service lack.  ``unserved`` are the ids of the offered
    versions that lack a program of their own: VERSION is about these, each other value about the rest.
    """

    service: str
    current: bool
    missing: MissingProgram
    unserved: frozenset[int] = frozenset()


def _lacks(found: Mapping[str, ServiceAvailability]) -> set[_Lack]:
    lacks = set()
    for name, each in found.items():
        offered = [each.missing] + [MissingProgram.VERSION] * bool(each.unserved)
        lacks |= {
            _Lack(service=name, current=True, missing=missing, unserved=each.unserved)
            for missing in offered
        }
        if each.has_removed:
            lacks.add(_Lack(service=name, current=False, missing=each.missing_of_removed))
    return lacks


def _is_sure(lack: _Lack, available: ServiceAvailability) -> bool:
    """True if a restart of a program cannot be the reason of ``lack``, so that it is reported at once."""
    match lack.missing:
        case MissingProgram.NONE | MissingProgram.VERSION:
            return True
        case MissingProgram.REMOVED:
            return not available.has_dispatched
        case _:
            return available.was_polled


async def _log_missing(lack: _Lack) -> int:
    """Write into the logs of the waiting and claimed tickets which program is missing, or that none is missing any
    more; a missing dispatcher, and that the service was removed, only into those of waiting tickets.  A log that already
    says so gets no second line; tickets that are locked, or beyond the first _BATCH, follow at a later call.

    Returns the number of logs that got a line.
    """
    missing = lack.missing
    category = "info" if missing is MissingProgram.NONE else "warning"
    sentence, unserved = SENTENCES[missing], list(lack.unserved)
    values = [missing.value, lack.service, clock.now(), category, sentence, lack.current, unserved]
    rows = await get_connection("default").execute_query_dict(_TELL, values)
    if rows:
        facts = {"service": lack.service, "missed": missing.value, "tickets": len(rows)}
        log.info("owners told who is missed", extra=facts)
    return len(rows)
