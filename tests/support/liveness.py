"""Services and workers that say that they live, and what users read of them."""

from datetime import timedelta

from quart.typing import TestClientProtocol as Client

from dss_broker.liveness import ALIVE_S
from dss_broker.messages import ServiceAnnounced, WorkerAnnounced
from dss_portal.database import clock
from dss_portal.models import Dispatcher, Worker
from dss_portal.tickets.service_watch import ServiceWatch
from support.portals import (
    DESCRIPTOR,
    Portal,
    eventually,
)

LUNGS = "lung-segmentation"


def service(instance: str = "d1", *, bundle: str = LUNGS, ends: bool = False) -> ServiceAnnounced:
    return ServiceAnnounced(
        service=LUNGS,
        provider="dss",
        instance=instance,
        descriptor=DESCRIPTOR,
        bundle=bundle,
        ends=ends,
    )


def worker(instance: str = "w1", *, bundle: str = LUNGS, ends: bool = False) -> WorkerAnnounced:
    return WorkerAnnounced(bundle=bundle, instance=instance, device="cpu", ends=ends)


async def hear(portal: Portal, *said: ServiceAnnounced | WorkerAnnounced) -> None:
    """Returns when the portal has heard them; they are heard in order."""
    for message in said:
        await portal.tell(message)
    last = said[-1]

    lately = clock.now() - timedelta(seconds=5)

    async def noted() -> bool:
        same = {"instance": last.instance, "ended": last.ends, "heard_at__gt": lately}
        if isinstance(last, WorkerAnnounced):
            return await Worker.filter(bundle=last.bundle, **same).exists()
        return await Dispatcher.filter(**same).exists()

    await eventually(noted, bool)


async def killed(kind: type[Worker] | type[Dispatcher], instance: str) -> None:
    """What the database says ALIVE_S after the last word of a program that was killed."""
    last = clock.now() - timedelta(seconds=ALIVE_S + 0.1)
    await kind.filter(instance=instance).update(heard_at=last)


async def log_of(client: Client, ticket_id: int) -> list[str]:
    answer = await client.get(f"/api/tickets/{ticket_id}/log", query_string={"format": "json"})
    return [line["message"] for line in (await answer.get_json())["result"]]


async def told(checks: ServiceWatch, owners: int) -> None:
    """Look until so many have been told, and no more; a row that is locked is left to the next look."""
    total = 0

    async def look() -> int:
        nonlocal total
        total += await checks.check()
        return total

    await eventually(look, lambda count: count >= owners)
    assert total == owners
