"""New services: from a Git repository, from an archive, from a service.json.

Nothing is ever checked out or unpacked: one file is read out of the repository or archive.
"""

import io
import json
import stat
import tarfile
import zipfile
from pathlib import PurePosixPath
from typing import NoReturn

from tortoise.transactions import in_transaction

from dss_broker.descriptor import Descriptor, DescriptorInvalid, descriptor_from
from dss_portal.errors import Refused
from dss_portal.models import Provider, ProviderService, Service
from dss_portal.services import git, names
from dss_portal.services.store import SHORTDESC_CHARACTERS, synthetic_hash
from dss_portal.settings import Settings

FILE = "service.json"
MAX_FILE_BYTES = 1 << 20


async def from_git(provider: Provider, repository: str, reference: str, settings: Settings) -> str:
    """Register the commit that ``reference`` (blank: the default branch) names; its hash.

    Raises Refused.
    """
    commit, text = await git.read_file(repository, reference, FILE, settings)
    await register(provider, commit, parsed(text))
    return commit


async def from_upload(provider: Provider, name: str, data: bytes) -> str:
    """Register an uploaded service.json, .zip or .tar.gz; its synthetic hash.  Raises Refused."""
    descriptor = parsed(_file_in(name, data))
    githash = synthetic_hash(descriptor.whole)
    await register(provider, githash, descriptor)
    return githash


def parsed(text: bytes) -> Descriptor:
    """Raises Refused with the old words and what is wrong."""
    try:
        return descriptor_from(json.loads(text, parse_constant=_no_number))
    except DescriptorInvalid as error:
        raise Refused(f"Error parsing service.json file: {error}") from error
    except ValueError as error:
        raise Refused("Error parsing service.json file: it is no JSON.") from error


def _no_number(word: str) -> NoReturn:
    """Python reads NaN and Infinity, which JSON has not."""
    raise ValueError(word)


async def register(provider: Provider, githash: str, descriptor: Descriptor) -> None:
    """List the service, again if it was removed.

    Raises Refused if another has its name and version, or if the name belongs to another provider.
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
                "descriptor": descriptor.whole,
                "current": True,
            },
        )
        await ProviderService.update_or_create(
            provider=provider, service=service, defaults={"current": True}
        )


def _file_in(name: str, data: bytes) -> bytes:
    if name.endswith(".json"):
        return data
    if zipfile.is_zipfile(io.BytesIO(data)):
        return _from_zip(data)
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            return _from_tar(archive)
    except tarfile.TarError as error:
        raise Refused("Send a service.json, a .zip or a .tar.gz; this file is none.") from error


def _from_zip(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entry = next((e for e in archive.infolist() if _wanted(e.filename)), None)
        if entry is None or stat.S_ISLNK(entry.external_attr >> 16):
            raise _no_file()
        if entry.file_size > MAX_FILE_BYTES:
            raise _too_large()
        with archive.open(entry) as file:
            return file.read(MAX_FILE_BYTES)


def _from_tar(archive: tarfile.TarFile) -> bytes:
    entry = next((e for e in archive if _wanted(e.name)), None)
    if entry is None or not entry.isreg():
        raise _no_file()
    if entry.size > MAX_FILE_BYTES:
        raise _too_large()
    file = archive.extractfile(entry)
    return file.read(MAX_FILE_BYTES) if file else b""


def _wanted(name: str) -> bool:
    """At the top, or in the one folder that archives of repositories have."""
    path = PurePosixPath(name)
    return path.name == FILE and len(path.parts) <= 2 and ".." not in path.parts


def _no_file() -> Refused:
    return Refused("The archive has no service.json at its top.")


def _too_large() -> Refused:
    return Refused("The service.json is larger than 1 MB.", 413)
