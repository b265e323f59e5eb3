"""The catalogue of services in the database: finds services by hash and by name, and records the announcements of the
programs that serve them.
"""

import hashlib
import json
import logging
from typing import Any

from tortoise.transactions import in_transaction

from dss_broker.descriptor import descriptor_from
from dss_broker.messages import ServiceAnnounced, WorkerAnnounced
from dss_portal.database import clock
from dss_portal.models import (
    Dispatcher,
    Provider,
    ProviderService,
    Service,
    Worker,
)
from dss_portal.refusals import Refused
from dss_portal.services import names

log = logging.getLogger(__name__)

SHORTDESC_CHARACTERS = 78  # the limit of ITK-SNAP's drop-down and of the old database


def synthetic_hash(descriptor: dict[str, Any]) -> str:
    """A hash of 40 hexadecimal digits for a service without a Git commit; equal descriptors have equal hashes."""
    text = json.dumps(descriptor, sort_keys=True, separators=(",", ":"))
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


async def listed() -> list[Service]:
    """Services that take tickets, in the order of their registration."""
    return await Service.filter(current=True).order_by("id")


async def versions() -> dict[str, list[Service]]:
    """Every version that was ever registered, including removed ones: lists by service name, the last registered version
    first.  Only id, name, version and time of registration are set.
    """
    found: dict[str, list[Service]] = {}
    for service in await Service.all().order_by("-id").only("id", "name", "version", "created_at"):
        found.setdefault(service.name, []).append(service)
    return found


async def by_hash(githash: str) -> Service:
    """The service with that hash, even if it was removed.  Raises Refused if there is none."""
    service = await Service.get_or_none(githash=githash)
    if service is None:
        raise Refused(f"Service {githash} is not available")
    return service


async def for_new_ticket(githash: str | None, name: str | None) -> Service:
    """The service for a new ticket: the one with the hash ``githash`` or, without a hash, the highest version of the
    service ``name``.  Raises Refused if no such service takes tickets, or if both are None.
    """
    if githash is not None:
        service = await Service.get_or_none(githash=githash, current=True)
        if service is None:
            raise Refused(f"Service {githash} is not available")
        return service
    if name is None:
        raise Refused("Unable to find service: neither name nor githash specified")
    found = await Service.filter(name=name, current=True)
    if not found:
        raise Refused(f"Unable to find service named {name}")
    return max(found, key=lambda service: version_key(service.version))


def version_key(version: str) -> tuple[int, ...]:
    """The sort key of a version: major, minor, patch.  A part that is missing or not a number counts as 0."""
    parts = [int(part) if part.isdecimal() else 0 for part in version.split(".")[:3]]
    return tuple(parts + [0] * (3 - len(parts)))


async def announce(announced: ServiceAnnounced) -> None:
    """Record a dispatcher's announcement that it is alive or has just ended; if it is alive, add its service to the
    catalogue if it is new.  Raises DescriptorInvalid for an invalid descriptor.

    A service that an admin has removed stays removed.  A new descriptor with the same name and version replaces the
    older one.  If an admin has removed the provider, or if the service's name belongs to another provider, the
    announcement is ignored, and the reason is logged once.
    """
    if announced.ends:
        await _note_dispatcher(announced)
        return
    async with in_transaction():
        provider, _ = await Provider.get_or_create(name=announced.provider)
        try:
            await names.reserve(descriptor_from(announced.descriptor).name, provider)
        except Refused as error:
            _log_refusal(announced, error.text)
            return
        _refused.pop((announced.service, announced.provider), None)
        service = await _known_or_new(announced.descriptor)
        service.heard_at = clock.now()
        await service.save(update_fields=["heard_at"])
        if service.current:
            await ProviderService.get_or_create(provider=provider, service=service)
        await _note_dispatcher(announced)


_refused: dict[tuple[str, str], str] = {}
"""By service and provider, the reason that was last logged for refusing their announcements, which come every few
seconds.
"""


def _log_refusal(announced: ServiceAnnounced, reason: str) -> None:
    key = announced.service, announced.provider
    if _refused.get(key) != reason:
        _refused[key] = reason
        facts = {"service": announced.service, "provider": announced.provider}
        log.warning("announced service refused", extra={**facts, "reason": reason})


async def _note_dispatcher(announced: ServiceAnnounced) -> None:
    bundle, ended = announced.bundle, announced.ends
    await Dispatcher.update_or_create(
        service=announced.service,
        instance=announced.instance,
        defaults={
            "bundle": bundle,
            "heard_at": clock.now(),
            "ended": ended,
            "parallel": announced.parallel,
        },
    )


async def _known_or_new(descriptor: dict[str, Any]) -> Service:
    found = descriptor_from(descriptor)
    githash = synthetic_hash(found.published)
    known = await Service.get_or_none(githash=githash)
    if known is not None:
        return known
    same = Service.filter(name=found.name, version=found.version, current=True)
    await same.update(current=False)
    return await Service.create(
        githash=githash,
        name=found.name,
        version=found.version,
        shortdesc=found.shortdesc[:SHORTDESC_CHARACTERS],
        descriptor=found.published,
    )


async def record_worker(announced: WorkerAnnounced) -> None:
    """Record an announcement of a worker that it is alive or has just ended."""
    await Worker.update_or_create(
        bundle=announced.bundle,
        instance=announced.instance,
        defaults={
            "device": announced.device,
            "heard_at": clock.now(),
            "ended": announced.ends,
        },
    )
