"""Uploaded archives and descriptors that are damaged, hostile or large: a sentence, and the portal goes on."""

import gzip
import io
import json
import random
import tarfile
import zipfile
from collections.abc import Callable

import pytest

from dss_portal.models import Provider
from dss_portal.refusals import Refused
from dss_portal.services import registration
from support.portals import DESCRIPTOR, Portal
from support.probes import lateness_s

pytestmark = pytest.mark.stack

WHOLE = json.dumps(DESCRIPTOR).encode()[:-1] + b', "x": '
FAULT_AT = "line 1, column {}"
NOTHING = "Send a service.json, a .zip or a .tar.gz; this file is none."


def tar(*files: tuple[str, bytes], mode: str = "w:gz") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:  # type: ignore[call-overload]  # mode is no literal
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def zipped(*files: tuple[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return packed.getvalue()


async def said(name: str, data: bytes) -> str:
    """Why it was refused."""
    provider, _ = await Provider.get_or_create(name="hospital")
    with pytest.raises(Refused) as refusal:
        await registration.from_upload(provider, name, data)
    return refusal.value.text


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2"])
async def test_an_archive_of_any_usual_kind_is_read(portal: Portal, mode: str) -> None:
    provider = await Provider.create(name="hospital")
    packed = tar(("a/other", b"x"), ("a/service.json", json.dumps(DESCRIPTOR).encode()), mode=mode)

    assert len(await registration.from_upload(provider, "a.tar", packed)) == 40


async def test_an_archive_that_unpacks_to_much_stops_nobody(portal: Portal) -> None:
    """1.5 MB that unpack to 1.5 GB held the event loop for 16 s."""
    block = gzip.compress(bytes(150 * 2**20))
    header = tarfile.TarInfo("zeros")
    header.size = 1500 * 2**20
    bomb = gzip.compress(header.tobuf()) + block * 10

    async with lateness_s() as late:
        sentence = await said("a.tar.gz", bomb)

    assert sentence == "The archive unpacks to more than 32 MB."
    assert late.worst_s < 0.2


async def test_an_archive_of_many_entries_stops_nobody(portal: Portal) -> None:
    many = tar(*((f"{i}", b"") for i in range(10_001)))

    async with lateness_s() as late:
        sentence = await said("a.tar.gz", many)

    assert sentence == "The archive has more than 10000 entries."
    assert late.worst_s < 0.2


@pytest.mark.parametrize("pack", [tar, zipped])
async def test_a_damaged_archive_is_refused_in_a_sentence(
    portal: Portal, pack: Callable[..., bytes]
) -> None:
    """200 of them, each with some bytes changed or cut off."""
    whole = pack(("service.json", json.dumps(DESCRIPTOR).encode() * 3), ("other", bytes(1000)))
    chance = random.Random(7)
    for _ in range(200):
        damaged = bytearray(whole[: chance.randrange(20, len(whole) + 1)])
        for _ in range(chance.randrange(4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)

        assert await said("a.zip", bytes(damaged)) != ""


async def test_an_encrypted_zip_is_refused_in_a_sentence(portal: Portal) -> None:
    whole = bytearray(zipped(("service.json", b"{}")))
    whole[6] |= 1
    whole[whole.index(b"PK\x01\x02") + 8] |= 1

    assert await said("a.zip", bytes(whole)) == NOTHING


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b'{"a":' * 500_000, "it is nested more than 100 levels deep."),
        (b"[" * 900 + b"]" * 900, "it is nested more than 100 levels deep."),
        (
            b'{"name": "\\ud800"}',
            (
                "it is not valid JSON: it ends too early, for instance without the last }, or has half of a surrogate "
                "pair, such as \\ud800."
            ),
        ),
        (b'{"name": "a\\u0000b"}', "service.json: must have no NUL characters."),
        (b'{"name": 1e999}', "it has a number that is too large."),
        (
            b'{"name": NaN}',
            f"it is not valid JSON: {FAULT_AT.format(len(WHOLE) + 10)}: invalid character.",
        ),
        (b'{"name": %s}' % (b"9" * 5000), "it has a number that is too large."),
        (b"\xff", f"it is not encoded in UTF-8: see {FAULT_AT.format(len(WHOLE) + 1)}."),
    ],
)
async def test_json_that_cannot_be_kept_is_refused_in_a_sentence(
    portal: Portal, text: bytes, why: str
) -> None:
    whole = WHOLE + text + b"}"

    async with lateness_s() as late:
        sentence = await said("service.json", whole[: 2**20])

    assert sentence in {
        f"Error parsing service.json file: {why}",
        "The service.json is larger than 1 MB.",
    }
    assert late.worst_s < 0.2
