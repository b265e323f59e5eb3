"""Registers services: from a Git repository, an archive, or a service.json.

Nothing is checked out or unpacked: only one file is read from the repository or archive.
"""

import asyncio
from collections.abc import Iterable

from tortoise.transactions import in_transaction

from dss_broker.descriptor import Descriptor, descriptor_from
from dss_broker.json_objects import json_object
from dss_portal.models import Provider, ProviderService, Service
from dss_portal.refusals import Refused
from dss_portal.services import git, names
from dss_portal.services.archives import FILE, descriptor_file
from dss_portal.services.store import SHORTDESC_CHARACTERS, synthetic_hash
from dss_portal.settings import Settings

MAX_LEVELS = 100
TOO_DEEP = f"it is nested more than {MAX_LEVELS} levels deep."


async def from_git(provider: Provider, repository: str, reference: str, settings: Settings) -> str:
    """Register the service that the service.json of a Git repository describes, and return the commit's hash, which
    becomes the hash of the service.  ``reference`` is a branch, tag or commit; "" is the default branch.  Raises Refused
    if the file cannot be read, is not valid, or describes a service that ``register`` refuses.
    """
    commit, text = await git.read_file(repository, reference, FILE, settings)
    await register(provider, commit, await asyncio.to_thread(parsed, text))
    return commit


async def from_upload(provider: Provider, name: str, data: bytes) -> str:
    """Register the service in an uploaded service.json, .zip or tar archive, whose file name is ``name``.  Returns its
    synthetic hash.  Raises Refused if the file cannot be read, is not valid, or describes a service that ``register``
    refuses.
    """
    descriptor = await asyncio.to_thread(_read, name, data)
    githash = synthetic_hash(descriptor.published)
    await register(provider, githash, descriptor)
    return githash


def _read(name: str, data: bytes) -> Descriptor:
    return parsed(descriptor_file(name, data))


def parsed(text: bytes) -> Descriptor:
    """Parse and check a service.json.  Raises Refused with a sentence that names the fault; it begins with the words of
    the reference server.  Call it in a thread, because a long text takes long.
    """
    try:
        decoded = json_object(text, "it")
        _check_levels(decoded)
        return descriptor_from(decoded)
    except RecursionError as error:
        raise _invalid(TOO_DEEP) from error
    except OverflowError as error:
        raise _invalid("it has a number that is too large.") from error
    except ValueError as error:
        raise _invalid(str(error)) from error


def _check_levels(decoded: object) -> None:
    """Raises Refused if a JSON document has more than MAX_LEVELS levels, which the database and clients cannot read."""
    level: list[object] = [decoded]
    for _ in range(MAX_LEVELS):
        level = [inner for value in level for inner in _inside(value)]
        if not level:
            return
    raise _invalid(TOO_DEEP)


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _invalid(fault: str) -> Refused:
    return Refused(f"Error parsing service.json file: {fault}")


async def register(provider: Provider, githash: str, descriptor: Descriptor) -> None:
    """Add a service to the catalogue as one that ``provider`` offers.  A service with the same hash that was removed is
    restored.

    Raises Refused if another service has its name and version, if the name belongs to another provider, or if
    ``provider`` was removed.
    """
    async with in_transaction():
        same = Service.filter(name=descriptor.name, version=descriptor.version, current=True)
        if await same.exclude(githash=githash).exists():
            raise Refused("A service with same name and version already exists")
        await names.reserve(descriptor.name, provider)
        service, _ = await Service.update_or_create(
            githash=githash,
            defaults={
                "name": descriptor.name,
                "version": descriptor.version,
                "shortdesc": descriptor.shortdesc[:SHORTDESC_CHARACTERS],
                "descriptor": descriptor.published,
                "current": True,
            },
        )
        await ProviderService.update_or_create(
            provider=provider, service=service, defaults={"current": True}
        )
