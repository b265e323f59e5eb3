"""Publishers announce themselves and their end, so that users know at once whether a service is served."""

from datetime import timedelta

import pytest
from quart.typing import TestClientProtocol as Client

from dss_broker.liveness import PUBLISHER_ALIVE_S
from dss_portal.admin import store as admin
from dss_portal.database import clock
from dss_portal.models import Dispatcher, Publisher, Service
from dss_portal.providers import announcements
from dss_portal.services import liveness
from dss_portal.services.liveness import SENTENCES, MissingProgram
from dss_portal.tickets import service_watch
from dss_portal.tickets.service_watch import ServiceWatch
from support import absences
from support.liveness import LUNGS, log_of, told
from support.portals import Portal, post, send_file, submitted_ticket, text

pytestmark = pytest.mark.stack

checks = absences.checks


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent program is noticed only after an hour, so that a test sees only what publishers announce."""
    monkeypatch.setattr(service_watch, "GRACE_S", 3600.0)


@pytest.fixture
async def provider(portal: Portal) -> Client:
    """A user of the provider of the only service, which no program serves."""
    await portal.announce_service()
    await Dispatcher.all().delete()
    await Service.all().update(heard_at=None, polled_at=None)
    found = await portal.user("pro@example.com")
    await admin.add_provider_user("dss", "pro@example.com", admin=False)
    return found


async def announce(provider: Client, code: str = "host-1", **more: str) -> tuple[int, str]:
    githash = (await Service.get()).githash
    return await post(provider, "/api/pro/publishers", services=githash, code=code, **more)


async def claim(provider: Client, code: str = "host-1-0") -> str:
    """The number of the ticket; "-1" if none waits."""
    githash = (await Service.get()).githash
    words = {"provider": "dss", "code": code, "announced": "1"}
    status, number = await post(provider, f"/api/pro/services/{githash}/claims", **words)
    assert status == 200
    return number


async def silent(silent_s: float) -> None:
    """The last word of every publisher was ``silent_s`` ago."""
    at = clock.now() - timedelta(seconds=silent_s)
    await Publisher.all().update(heard_at=at)
    await Service.all().update(heard_at=at)


async def missing() -> MissingProgram:
    return (await liveness.availability())[LUNGS].missing


async def test_the_end_of_a_publisher_is_told_to_those_who_wait_at_once(
    portal: Portal, provider: Client, checks: ServiceWatch
) -> None:
    ann = await portal.user()
    assert await announce(provider) == (200, "success")
    assert await claim(provider) == "-1"
    assert "At work" in await text(ann, "/services")
    ticket_id = await submitted_ticket(ann)

    assert await announce(provider, ends="1") == (200, "success")

    await told(checks, 1)
    assert (await log_of(ann, ticket_id))[-1] == SENTENCES[MissingProgram.DISPATCHER]
    assert "Nobody serves this at present" in await text(ann, "/services")
    await announce(provider)
    await told(checks, 1)
    assert (await log_of(ann, ticket_id))[-1] == SENTENCES[MissingProgram.NONE]


async def test_a_publisher_that_was_killed_is_told_when_its_announcements_stop(
    portal: Portal, provider: Client, checks: ServiceWatch
) -> None:
    ann = await portal.user()
    await announce(provider)
    await claim(provider)
    ticket_id = await submitted_ticket(ann)
    await silent(PUBLISHER_ALIVE_S - 5)
    assert await missing() is MissingProgram.NONE

    await silent(PUBLISHER_ALIVE_S + 1)

    await told(checks, 1)
    assert (await log_of(ann, ticket_id))[-1] == SENTENCES[MissingProgram.DISPATCHER]


async def test_a_publisher_is_told_how_many_others_serve_its_service(provider: Client) -> None:
    assert await announce(provider, others="1") == (200, "0")
    assert await announce(provider, others="1") == (200, "0")
    assert await announce(provider, "other-7", others="1") == (200, "1")
    await Dispatcher.create(service=LUNGS, instance="d", bundle="", heard_at=clock.now())
    assert await announce(provider, others="1") == (200, "2")

    await announce(provider, "other-7", ends="1")
    assert await announce(provider, others="1") == (200, "1")
    await silent(PUBLISHER_ALIVE_S + 1)
    assert await announce(provider, "third-8", others="1") == (200, "1")


@pytest.fixture
async def versions(portal: Portal, provider: Client) -> tuple[str, str]:
    """The hashes of two versions of the service, of which the first has a publisher."""
    await portal.announce_service(version="9.0.0")
    await Dispatcher.all().delete()
    await Service.all().update(heard_at=None, polled_at=None)
    old, new = await Service.filter(current=True).order_by("id").values_list("githash", flat=True)
    await post(provider, "/api/pro/publishers", services=str(old), code="host-1")
    return str(old), str(new)


async def submitted(client: Client, githash: str) -> int:
    _, number = await post(client, "/api/tickets", githash=githash)
    await send_file(client, f"/api/tickets/{number}/files/input", "a.itksnap", b"<registry/>")
    assert await post(client, f"/api/tickets/{number}/status", status="ready") == (200, "ready")
    return int(number)


async def test_tickets_of_a_version_that_nobody_serves_are_told_so(
    portal: Portal, provider: Client, checks: ServiceWatch, versions: tuple[str, str]
) -> None:
    ann, sentence = await portal.user(), SENTENCES[MissingProgram.VERSION]
    served, waits = [await submitted(ann, githash) for githash in versions]

    await told(checks, 1)

    assert (await log_of(ann, waits))[-1] == sentence
    assert sentence not in await log_of(ann, served)
    for path in (f"/tickets/{waits}", "/services", "/send"):
        assert "Nobody serves this version" in await text(ann, path)
    assert "Place 1 in the queue" not in await text(ann, f"/tickets/{waits}")
    assert "Place 1 in the queue" in await text(ann, f"/tickets/{served}")
    for path, row in (("services", versions[1]), ("tickets", f"{waits},")):
        rows = (await text(ann, f"/api/{path}/estimates")).splitlines()
        (line,) = [line for line in rows if line.startswith(row)]
        assert sentence in line, line

    await post(provider, "/api/pro/publishers", services=versions[1], code="other-7")

    await told(checks, 1)
    assert (await log_of(ann, waits))[-1] == SENTENCES[MissingProgram.NONE]


async def test_the_last_ticket_of_a_version_is_finished_while_the_others_wait(
    portal: Portal, provider: Client, versions: tuple[str, str]
) -> None:
    ann, (old, new) = await portal.user(), versions
    at_work, waits = [await submitted(ann, old) for _ in range(2)]
    await post(provider, "/api/pro/publishers", services=new, code="other-7")
    words = {"provider": "dss", "code": "host-1-0", "announced": "1"}
    assert await post(provider, f"/api/pro/services/{old}/claims", **words) == (200, str(at_work))

    await post(provider, "/api/pro/publishers", services=old, code="host-1", ends="1")

    sentence = "Nobody serves this version"
    assert sentence in await text(ann, f"/tickets/{waits}")
    assert sentence not in await text(ann, f"/tickets/{at_work}")
    rows = (await text(ann, "/api/tickets/estimates")).splitlines()
    assert [row.startswith(f"{waits},") for row in rows if sentence in row] == [True]


async def test_a_program_of_one_version_is_no_other_that_serves_another_version(
    provider: Client, versions: tuple[str, str]
) -> None:
    words = {"services": versions[1], "code": "other-7", "others": "1"}

    assert await post(provider, "/api/pro/publishers", **words) == (200, "0")
    assert await post(provider, "/api/pro/publishers", **words | {"services": versions[0]}) == (
        200,
        "1",
    )


async def test_a_daemon_that_polls_for_one_version_serves_that_one_alone(
    provider: Client, versions: tuple[str, str]
) -> None:
    await Publisher.all().delete()
    await post(provider, f"/api/pro/services/{versions[1]}/claims", provider="dss")

    available = (await liveness.availability())[LUNGS]

    old, new = await Service.filter(current=True).order_by("id")
    assert available.missing_for(old.id, current=True) is MissingProgram.VERSION
    assert available.missing_for(new.id, current=True) is MissingProgram.NONE


async def test_a_dispatcher_of_ours_serves_every_version(
    provider: Client, versions: tuple[str, str]
) -> None:
    await Dispatcher.create(service=LUNGS, instance="d", bundle="", heard_at=clock.now())

    assert (await liveness.availability())[LUNGS].unserved == frozenset()


async def test_the_end_of_one_publisher_hides_no_other(portal: Portal, provider: Client) -> None:
    await announce(provider, "host-1", parallel="2")
    await announce(provider, "other-7", parallel="3")
    await announce(provider, "host-1", parallel="2", ends="1")

    available = (await liveness.availability())[LUNGS]

    assert (available.missing, available.dispatchers, available.places) == (
        MissingProgram.NONE,
        1,
        3,
    )


async def test_the_end_of_a_publisher_hides_no_daemon_that_polls(
    portal: Portal, provider: Client
) -> None:
    githash = (await Service.get()).githash
    await post(provider, f"/api/pro/services/{githash}/claims", provider="dss")
    await announce(provider)
    await announce(provider, ends="1")

    assert await missing() is MissingProgram.NONE


async def test_a_publisher_that_finishes_its_last_ticket_serves_nobody_else(
    portal: Portal, provider: Client
) -> None:
    ticket_id = await submitted_ticket(await portal.user())
    await announce(provider)
    assert await claim(provider) == str(ticket_id)
    await announce(provider, ends="1")

    path = f"/api/pro/tickets/{ticket_id}"
    words = {"chunk_start": "0", "chunk_end": "1", "progress": "0.5", "announced": "1"}
    assert await post(provider, f"{path}/progress", **words) == (200, "success")
    assert await text(provider, f"{path}/status?announced=1") == "claimed"
    assert await missing() is MissingProgram.DISPATCHER
    assert await post(provider, f"{path}/status", status="failed", announced="1") == (200, "failed")

    assert await missing() is MissingProgram.DISPATCHER


async def test_a_publisher_that_was_killed_with_a_ticket_is_silent(
    portal: Portal, provider: Client
) -> None:
    """Its owner and those who wait are told, as of any provider that may come back to its ticket."""
    ticket_id = await submitted_ticket(await portal.user())
    await announce(provider)
    assert await claim(provider) == str(ticket_id)
    await silent(PUBLISHER_ALIVE_S + 1)
    assert await missing() is MissingProgram.SILENT

    await announce(provider, "host-2")

    assert await missing() is MissingProgram.NONE


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"code": ""}, "'code' must have 1 to 200 characters."),
        ({"code": "x" * 201}, "'code' must have 1 to 200 characters."),
        ({"parallel": "0"}, "'parallel' must be a number from 1 to 1000."),
        ({"parallel": "many"}, "'parallel' must be a number from 1 to 1000."),
    ],
)
async def test_an_announcement_that_cannot_be_understood_is_refused(
    provider: Client, words: dict[str, str], sentence: str
) -> None:
    assert await announce(provider, **words) == (400, sentence)


async def test_a_user_announces_a_limited_number_of_publishers(
    provider: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcements, "MOST_PUBLISHERS", 1)
    await announce(provider)

    status, sentence = await announce(provider, "host-2")

    assert (status, sentence.partition(";")[2]) == (
        400,
        " use the same 'code' for the same program.",
    )
    assert await announce(provider, ends="1") == (200, "success")


async def test_publishers_of_yesterday_are_forgotten(provider: Client) -> None:
    await announce(provider)
    await silent(25 * 3600)

    await liveness.delete_expired()

    assert not await Publisher.exists()
