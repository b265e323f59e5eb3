"""Users are told of each end of a ticket, by mail, webhook and ntfy, against real servers on loopback."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import time

import asyncpg
import pytest
from prometheus_client import REGISTRY
from quart.typing import TestClientProtocol as Client
from tortoise.transactions import in_transaction

from dss_portal import gauges
from dss_portal.models import Notification, Status, Ticket
from dss_portal.notifications import outbox
from dss_portal.notifications.channels import ChannelKind
from dss_portal.notifications.sender import Sender
from dss_portal.tickets.lifecycle import Event, Failed, LeaseLapsed, Succeeded
from support import notified
from support.notified import ANN, SECRET, all_sent, count, end, ended, running_ticket, wish
from support.portals import Portal, eventually
from support.receivers import MailBox, Receiver

pytestmark = [pytest.mark.stack]

receiver = notified.receiver
mailbox = notified.mailbox
settings = notified.settings
quick = notified.quick


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        (Succeeded(claim_id="c"), "success"),
        (Failed(claim_id="c"), "failed"),
        (LeaseLapsed(claim_id="c", max_attempts=1), "timeout"),
    ],
)
async def test_a_webhook_is_signed_and_says_number_service_outcome_and_link_only(
    ann: Client, receiver: Receiver, event: Event, outcome: str
) -> None:
    await wish(ChannelKind.WEBHOOK, receiver.url, SECRET)

    number = await ended(event)

    await all_sent()
    (asked,) = receiver.asked
    told = json.loads(asked.body)
    assert told["data"] == {
        "ticket": number,
        "service": "lung-segmentation",
        "outcome": outcome,
        "link": f"http://dss.example.org/dss/tickets/{number}",
    }
    assert set(told) == {"type", "timestamp", "data"}
    assert told["type"] == "ticket.ended"
    key, at = asked.headers["webhook-id"], asked.headers["webhook-timestamp"]
    signed = hmac.new(b"s" * 32, f"{key}.{at}.".encode() + asked.body, hashlib.sha256).digest()
    assert asked.headers["webhook-signature"] == f"v1,{base64.b64encode(signed).decode()}"
    assert abs(int(at) - time.time()) < 60
    assert asked.headers["host"] == f"127.0.0.1:{receiver.port}"


async def test_a_mail_has_no_name_of_the_ticket(ann: Client, mailbox: MailBox) -> None:
    await wish(ChannelKind.MAIL, ANN)

    number = await ended(Failed(claim_id="c"))

    await all_sent()
    (mail,) = mailbox.mails
    assert mail["Subject"] == f"Ticket {number} failed"
    assert mailbox.recipients == [ANN]
    assert "Miller" not in mail.as_string()
    assert f"http://dss.example.org/dss/tickets/{number}" in mail.as_string()
    assert re.fullmatch(r"<[0-9a-f]{32}@dss\.example\.org>", mail["Message-ID"])


async def test_ntfy_gets_title_text_link_and_token(ann: Client, receiver: Receiver) -> None:
    await wish(ChannelKind.NTFY, receiver.url, "tk_1")

    number = await ended()

    await all_sent()
    (asked,) = receiver.asked
    assert asked.headers["title"] == f"Ticket {number} is done"
    assert asked.headers["click"].endswith(f"/tickets/{number}")
    assert asked.headers["authorization"] == "Bearer tk_1"
    assert b"Miller" not in asked.body


async def test_each_end_is_told_and_a_rolled_back_one_is_not(
    ann: Client, receiver: Receiver
) -> None:
    await wish(ChannelKind.WEBHOOK, receiver.url, SECRET)
    number = await running_ticket()

    async def rolled_back() -> None:
        async with in_transaction():
            await end(number)
            raise LookupError

    with pytest.raises(LookupError):
        await rolled_back()
    await end(number, Failed(claim_id="c"))
    assert (await ann.get(f"/api/tickets/{number}/retry")).status_code == 200
    await Ticket.filter(id=number).update(status=Status.CLAIMED, claim_id="c")

    await end(number)

    await all_sent()
    outcomes = [json.loads(asked.body)["data"]["outcome"] for asked in receiver.asked]
    assert sorted(outcomes) == ["failed", "success"]
    assert len(set(receiver.keys())) == 2


async def test_several_portals_send_each_once(
    portal: Portal, ann: Client, receiver: Receiver
) -> None:
    await wish(ChannelKind.WEBHOOK, receiver.url, SECRET)
    others = [asyncio.create_task(Sender(portal.settings).run()) for _ in range(2)]
    await asyncio.sleep(0)

    await asyncio.gather(*(ended() for _ in range(30)))

    await all_sent()
    for other in others:
        other.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    assert len(receiver.keys()) == 30
    assert len(set(receiver.keys())) == 30


async def test_what_a_portal_committed_or_took_before_it_was_killed_is_sent_by_another(
    portal: Portal, ann: Client, receiver: Receiver
) -> None:
    """Stored by another connection, so that no commit of this process wakes the sender."""
    channel = await wish(ChannelKind.WEBHOOK, receiver.url, SECRET)
    connection = await asyncpg.connect(portal.settings.database_url.get_secret_value())
    insert = (
        "INSERT INTO notification (channel_id, key, ticket_id, service, outcome, ended_at, created_at, "
        "tries, taken_until, taken_by) VALUES "
        "($1, 'committed', 1, 's', 'success', now(), now(), 0, NULL, NULL), "
        "($1, 'taken', 2, 's', 'success', now(), now(), 1, now() + interval '1 s', 'dead')"
    )
    began_s = time.time()

    await connection.execute(insert, channel.id)
    await connection.close()

    await all_sent()
    assert receiver.keys() == ["committed", "taken"]
    assert receiver.asked[1].at_s - began_s > 0.9, "sent while the other portal might still send it"


async def test_fifty_ends_are_told_within_five_seconds(ann: Client, receiver: Receiver) -> None:
    await wish(ChannelKind.WEBHOOK, receiver.url, SECRET)
    numbers = [await running_ticket() for _ in range(50)]
    at: dict[int, float] = {}

    async def end_one(number: int) -> None:
        await end(number)
        at[number] = time.time()

    await asyncio.gather(*(end_one(number) for number in numbers))

    await all_sent()
    late_s = [a.at_s - at[json.loads(a.body)["data"]["ticket"]] for a in receiver.asked]
    assert len(late_s) == 50
    assert max(late_s) < 5


async def test_gauges_tell_what_waits(
    ann: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "FIRST_DELAY_S", 3600)
    receiver.answers += [500]
    await wish(ChannelKind.NTFY, receiver.url)
    await ended()
    await eventually(lambda: Notification.filter(reason__isnull=False).count(), lambda n: n == 1)

    await gauges.refresh()

    def value(name: str, kind: str) -> float | None:
        return REGISTRY.get_sample_value(name, {"kind": kind})

    assert value("dss_notifications_waiting", "ntfy") == 1
    assert (value("dss_notification_age_seconds", "ntfy") or 0) > 0
    assert value("dss_notification_age_seconds", "mail") == 0
    assert count("mail", "sent") >= 0
