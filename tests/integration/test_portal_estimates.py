"""How long it takes: told before a ticket is submitted, while it waits, and by its log."""

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta

import pytest
from quart.typing import TestClientProtocol as Client
from tortoise.transactions import in_transaction

from dss_broker.messages import ClaimProgressed, ServiceAnnounced, WorkerAnnounced
from dss_portal.database import clock
from dss_portal.estimates import estimates, reading, ticket_logs
from dss_portal.estimates.words import UNKNOWN
from dss_portal.models import Dispatcher, Run, Service, Ticket, Worker
from dss_portal.services.liveness import SENTENCES, MissingProgram
from dss_portal.tickets import store
from support.portals import DESCRIPTOR, Portal, eventually, post, submitted_ticket, text

pytestmark = pytest.mark.stack

LUNGS = "lung-segmentation"


@pytest.fixture(autouse=True)
def always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "FRESH_S", 0.0)
    monkeypatch.setattr(estimates, "QUIET_S", 0.0)
    monkeypatch.setattr(estimates, "AT_LEAST_S", 0.0)
    monkeypatch.setattr(ticket_logs, "PERIOD_S", 3600.0)


@pytest.fixture
async def served(portal: Portal) -> Portal:
    """One worker, whose runs took 40 s each."""
    await portal.tell(WorkerAnnounced(bundle=LUNGS, instance="w1", device="cpu"))
    await portal.tell(
        ServiceAnnounced(
            service=LUNGS, provider="dss", instance="d1", descriptor=DESCRIPTOR, bundle=LUNGS
        )
    )
    await eventually(lambda: Service.all().exists(), bool)
    await eventually(lambda: Worker.all().exists(), bool)
    for _ in range(5):
        await Run.create(
            service=LUNGS,
            device="cpu",
            size_bytes=11,
            seconds=40.0,
            ended_at=clock.now() - timedelta(hours=1),
        )
    return portal


async def rows(client: Client, path: str) -> list[dict[str, object]]:
    return list(
        json.loads(await text(client, f"{path}{'&' if '?' in path else '?'}format=json"))["result"]
    )


async def log_of(client: Client, ticket_id: int) -> list[str]:
    found = await rows(client, f"/api/tickets/{ticket_id}/log")
    return [str(line["message"]) for line in found]


async def test_before_submitting_a_user_reads_how_long_it_takes_and_how_many_come_first(
    served: Portal,
) -> None:
    ann, ben = await served.user(), await served.user("ben@example.com")
    (alone,) = await rows(ann, "/api/services/estimates")
    await submitted_ticket(ann)
    await submitted_ticket(ann)

    (own,) = await rows(ann, "/api/services/estimates")
    (others,) = await rows(ben, "/api/services/estimates")

    assert alone["sentence"] == "Takes about 40 s, none before you."
    assert own["sentence"] == "Takes about 2 min, 2 before you; a worker begins it in about 80 s."
    assert (
        others["sentence"] == "Takes about 80 s, 1 before you; a worker begins it in about 40 s."
    )  # users take turns
    assert (others["begins_s"], others["ends_s"]) == (40.0, 80.0)
    assert "Takes about 80 s, 1 before you; a worker begins it in about 40 s." in await text(
        ben, "/services"
    )


async def test_the_page_to_send_images_tells_the_time_of_an_image_of_the_size_that_is_chosen(
    served: Portal,
) -> None:
    for voxels, seconds in ((1_000_000, 20.0), (2_000_000, 40.0), (3_000_000, 60.0)) * 2:
        await Run.create(
            service=LUNGS,
            device="cpu",
            voxels=voxels,
            size_bytes=11,
            seconds=seconds,
            ended_at=clock.now(),
        )
    await Run.filter(voxels=None).delete()
    ann = await served.user()

    assert "Takes about 40 s, none before you." in await text(ann, "/send")
    assert "Takes about 2 min, none before you." in await text(ann, "/send?voxels=6000000")
    for odd in ("many", "-1", "0", "9" * 30, "%00", "%D9%A3"):
        assert "Takes about 40 s, none before you." in await text(ann, f"/send?voxels={odd}")


async def test_an_estimate_knows_how_many_tickets_the_dispatchers_claim_at_a_time(
    served: Portal,
) -> None:
    """d1 is from before dispatchers stated it."""

    async def most_claims() -> Mapping[str, int]:
        return (await reading.read_snapshot()).site.most_claims

    async def announce(instance: str, parallel: int) -> None:
        await served.tell(
            ServiceAnnounced(
                service=LUNGS,
                provider="dss",
                instance=instance,
                descriptor=DESCRIPTOR,
                bundle=LUNGS,
                parallel=parallel,
            )
        )

    await announce("d2", 3)
    await eventually(lambda: Dispatcher.filter(parallel=3).exists(), bool)
    assert await most_claims() == {}

    await announce("d1", 2)

    await eventually(most_claims, lambda found: found == {LUNGS: 5})


async def test_voxels_tell_nothing_if_past_runs_state_only_bytes(served: Portal) -> None:
    ann = await served.user()

    (found,) = await rows(ann, "/api/services/estimates?voxels=9000000")

    assert found["ends_s"] == 40.0


async def test_the_page_to_send_images_has_services_without_a_program_last_and_says_so(
    served: Portal,
) -> None:
    idle = {**DESCRIPTOR, "name": "a-service-that-nobody-serves"}
    await served.tell(
        ServiceAnnounced(
            service="a-service-that-nobody-serves",
            provider="dss",
            instance="d2",
            descriptor=idle,
            bundle="none",
        )
    )
    await eventually(lambda: Service.filter(name=idle["name"]).exists(), bool)
    ann = await served.user()

    page = await text(ann, "/send")

    assert page.index(f'value="{LUNGS}"') < page.index('value="a-service-that-nobody-serves"')
    assert SENTENCES[MissingProgram.WORKER] in page


async def test_a_queue_too_long_to_count_is_said_to_be_at_least_that_long(
    served: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MOST", 2)
    ann = await served.user()
    for _ in range(3):
        await submitted_ticket(ann)

    (offer,) = await rows(ann, "/api/services/estimates")

    assert offer["sentence"] == "How long it takes is not known yet; 2 or more before you."


async def test_a_larger_image_takes_longer(served: Portal) -> None:
    await Run.create(service=LUNGS, device="cpu", size_bytes=22, seconds=80.0, ended_at=clock.now())
    ann = await served.user()

    (found,) = await rows(ann, "/api/services/estimates")
    large = json.loads(await text(ann, "/api/services/estimates?format=json&bytes=44"))["result"]

    assert found["ends_s"] == 40.0
    assert large[0]["ends_s"] == pytest.approx(160.0, rel=0.05)


async def test_a_size_that_is_no_number_is_refused_in_a_sentence(served: Portal) -> None:
    answer = await (await served.user()).get("/api/services/estimates?voxels=many")

    assert answer.status_code == 400
    assert "'voxels' must be a whole number, not 'many'." in await answer.get_data(as_text=True)


async def test_while_a_ticket_waits_its_page_and_the_api_tell_when_it_is_done(
    served: Portal,
) -> None:
    ann = await served.user()
    first, second = await submitted_ticket(ann), await submitted_ticket(ann)

    told = await rows(ann, "/api/tickets/estimates")

    assert [(row["id"], row["sentence"]) for row in told] == [
        (first, "About 40 s left."),
        (second, "Done in about 80 s; a worker begins it in about 40 s."),
    ]
    page = await text(ann, f"/tickets/{second}")
    assert "Done in about 80 s; a worker begins it in about 40 s." in page
    assert "Place 2 in the queue." in page
    assert 'data-live-s="15"' in page


async def test_at_work_the_progress_counts(served: Portal) -> None:
    ann = await served.user()
    ticket_id = await submitted_ticket(ann)
    granted = await served.granted(ticket_id)
    told = ClaimProgressed(
        ticket_id=ticket_id, claim_id=granted.claim_id, chunk_start=0, chunk_end=1, progress=0.9
    )
    await served.tell(told)

    async def left() -> float:
        return float(str((await rows(ann, "/api/tickets/estimates"))[0]["ends_s"]))

    await eventually(left, lambda now: now < 10)


async def test_the_log_of_a_ticket_tells_its_end_once_and_again_when_it_is_later(
    served: Portal,
) -> None:
    """A ticket that the relay has locked for a moment is told at a later look."""
    ann = await served.user()
    await submitted_ticket(ann)
    ticket_id = await submitted_ticket(ann)
    portal_estimates = served.components.estimates

    async def told() -> list[str]:
        await ticket_logs.write_due(portal_estimates)
        return (await log_of(ann, ticket_id))[1:]

    (line,) = await eventually(told, bool)
    assert line.startswith("Expected to be done in about 80 s, at ")
    assert line.endswith(" UTC; 1 ticket is before it.")
    assert await told() == [line]

    await Run.all().update(seconds=200.0)

    _, later = await eventually(told, lambda lines: len(lines) > 1)
    assert later.startswith("Now expected to be done in about 7 min")
    assert await told() == [line, later]


async def test_two_portals_tell_a_log_once(served: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second has read the site before the first told."""
    monkeypatch.setattr(estimates, "FRESH_S", 3600.0)
    await submitted_ticket(await served.user())
    feed = served.components.feed
    one, other = estimates.Estimates(feed), estimates.Estimates(feed)
    for portal in (one, other):
        await portal.snapshot()

    assert [await ticket_logs.write_due(one), await ticket_logs.write_due(other)] == [1, 0]


async def test_without_a_past_run_the_site_is_not_read(served: Portal) -> None:
    await submitted_ticket(await served.user())
    portal_estimates = estimates.Estimates(served.components.feed)
    await Run.all().delete()

    assert await ticket_logs.write_due(portal_estimates) == 0
    assert portal_estimates._snapshot is None


async def test_a_site_without_changes_is_not_read_again(
    served: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the forecasts are made anew, for a later time.  A ticket of another portal comes through the feed."""
    monkeypatch.setattr(estimates, "QUIET_S", 3600.0)
    ann, parts = await served.user(), served.components
    await submitted_ticket(ann)
    assert await parts.feed.wait_until_current(10)
    first = await parts.estimates.snapshot()

    second = await parts.estimates.snapshot()
    await submitted_ticket(ann)
    assert await parts.feed.wait_until_current(10)
    third = await parts.estimates.snapshot()

    assert second.places is first.places
    assert second.site.now_s > first.site.now_s
    assert [len(found.places[LUNGS]) for found in (second, third)] == [1, 2]


async def test_a_locked_ticket_holds_up_no_other(served: Portal) -> None:
    ann = await served.user()
    locked, free = await submitted_ticket(ann), await submitted_ticket(ann)
    portal_estimates, began, end = served.components.estimates, asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with in_transaction():
            await store.locked(locked)
            began.set()
            await end.wait()

    holding = asyncio.create_task(hold())
    await began.wait()
    async with asyncio.timeout(30):
        assert await ticket_logs.write_due(portal_estimates) == 1
    end.set()
    await holding

    assert (await Ticket.get(id=free)).expected_at is not None
    assert await ticket_logs.write_due(portal_estimates) == 1


async def test_a_ticket_that_came_after_the_last_reading_is_estimated_all_the_same(
    served: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimates, "FRESH_S", 3600.0)
    monkeypatch.setattr(estimates, "AT_LEAST_S", 0.5)
    ann = await served.user()
    await served.components.estimates.snapshot()
    await submitted_ticket(ann)

    (told,) = await rows(ann, "/api/tickets/estimates")

    assert told["sentence"] == "About 40 s left."


async def test_a_ticket_beyond_those_that_are_read_does_not_make_each_request_read_the_site(
    served: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimates, "FRESH_S", 3600.0)
    monkeypatch.setattr(estimates, "QUIET_S", 3600.0)
    monkeypatch.setattr(reading, "MOST", 2)
    ann = await served.user()
    for _ in range(3):
        await submitted_ticket(ann)
    before = await served.components.estimates.snapshot()

    told = await rows(ann, "/api/tickets/estimates")

    assert [each["sentence"] for each in told][2] == "How long it takes is not known yet."
    assert await served.components.estimates.snapshot() is before


async def test_what_is_not_known_is_not_told_by_the_log_and_said_elsewhere(served: Portal) -> None:
    await Run.all().delete()
    ann = await served.user()
    ticket_id = await submitted_ticket(ann)

    assert await ticket_logs.write_due(served.components.estimates) == 0
    assert len(await log_of(ann, ticket_id)) == 1
    (told,) = await rows(ann, "/api/tickets/estimates")
    assert (told["ends_s"], told["sentence"]) == (None, UNKNOWN)
    (offer,) = await rows(ann, "/api/services/estimates")
    assert offer["sentence"] == "How long it takes is not known yet; 1 before you."


async def test_a_ticket_that_starts_again_is_told_anew(served: Portal) -> None:
    ann = await served.user()
    root = await served.user("root@example.com", sysadmin=True)
    ticket_id = await submitted_ticket(ann)
    await ticket_logs.write_due(served.components.estimates)
    assert (await Ticket.get(id=ticket_id)).expected_at is not None

    assert (await root.get(f"/api/tickets/{ticket_id}/retry")).status_code == 200

    assert (await Ticket.get(id=ticket_id)).expected_at is None
    assert await ticket_logs.write_due(served.components.estimates) == 1


async def test_before_submitting_a_user_reads_that_nobody_serves_it(served: Portal) -> None:
    ann = await served.user()
    await Worker.all().update(heard_at=clock.now() - timedelta(minutes=1))

    (found,) = await rows(ann, "/api/services/estimates")

    assert found["ends_s"] is None
    assert found["sentence"] == SENTENCES[MissingProgram.WORKER]
    assert "No inference worker serves this at present; tickets wait." in await text(
        ann, "/services"
    )


async def test_while_nobody_serves_a_ticket_its_estimate_says_so(served: Portal) -> None:
    ann = await served.user()
    await submitted_ticket(ann)
    await Worker.all().update(heard_at=clock.now() - timedelta(minutes=1))

    (told,) = await rows(ann, "/api/tickets/estimates")

    assert (told["ends_s"], told["sentence"]) == (None, SENTENCES[MissingProgram.WORKER])


async def test_nobody_reads_of_the_tickets_of_others(served: Portal) -> None:
    await submitted_ticket(await served.user())

    assert await rows(await served.user("ben@example.com"), "/api/tickets/estimates") == []
    answer = await post(await served.user("ben@example.com"), "/api/tickets/estimates")
    assert answer[0] == 405
