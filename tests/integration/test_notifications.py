"""Users are told of each end of a ticket, by mail, webhook and ntfy, against real servers on loopback."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Awaitable, Callable, Iterator

import asyncpg
import pytest
from prometheus_client import REGISTRY
from quart.typing import TestClientProtocol as Client
from tortoise.transactions import in_transaction

from dss_portal import gauges
from dss_portal.models import Notification, NotificationChannel, Service, Status, Ticket, User
from dss_portal.notifications import outbox, sender
from dss_portal.notifications.channels import Kind
from dss_portal.notifications.sender import Sender
from dss_portal.settings import Settings
from dss_portal.tickets import store
from dss_portal.tickets.lifecycle import Event, Failed, LeaseLapsed, Succeeded
from support.portals import Portal, eventually, text
from support.receivers import CUT, MailBox, Receiver, http_receiver, mail_server

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]

ANN = "ann@example.com"
SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver() as running:
        yield running


@pytest.fixture
def mailbox() -> Iterator[MailBox]:
    with mail_server() as running:
        yield running


@pytest.fixture
def settings(settings: Settings, mailbox: MailBox) -> Settings:
    own = {
        "smtp_host": "127.0.0.1",
        "smtp_port": mailbox.port,
        "smtp_security": "none",
        "smtp_from": "dss@example.org",
        "notify_networks": "127.0.0.1/32",
        "public_url": "http://dss.example.org/dss",
    }
    return settings.model_copy(update=own)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "FIRST_DELAY_S", 0.05)
    monkeypatch.setattr(sender, "IDLE_S", 0.1)


@pytest.fixture
async def ann(portal: Portal) -> Client:
    await portal.announce_service()
    return await portal.user(ANN)


async def wish(kind: Kind, address: str, secret: str = "") -> NotificationChannel:
    user = await User.get(email=ANN)
    return await NotificationChannel.create(
        user=user, kind=kind.value, address=address, secret=secret
    )


async def running_ticket() -> int:
    user, service = await User.get(email=ANN), await Service.first()
    assert service is not None
    made = await Ticket.create(
        user=user, service=service, status=Status.CLAIMED, claim_id="c", title="Miller, Jane"
    )
    return made.id


async def end(ticket_id: int, event: Event | None = None) -> None:
    async with in_transaction():
        ticket = await store.locked(ticket_id)
        assert ticket is not None
        assert await store.advance(ticket, event or Succeeded(claim_id="c"))


async def ended(event: Event | None = None) -> int:
    number = await running_ticket()
    await end(number, event)
    return number


async def waiting() -> int:
    return await Notification.filter(set_aside_at__isnull=True).count()


async def all_sent() -> None:
    await eventually(waiting, lambda left: left == 0, within_s=20)


async def aside() -> str:
    """The reason of the one that is set aside."""
    found = await eventually(
        lambda: Notification.filter(set_aside_at__isnull=False), lambda rows: len(rows) == 1
    )
    return str(found[0].reason)


def count(kind: str, outcome: str) -> float:
    labels = {"kind": kind, "outcome": outcome}
    return REGISTRY.get_sample_value("dss_notifications_total", labels) or 0.0


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
    await wish(Kind.WEBHOOK, receiver.url, SECRET)

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
    await wish(Kind.MAIL, ANN)

    number = await ended(Failed(claim_id="c"))

    await all_sent()
    (mail,) = mailbox.mails
    assert mail["Subject"] == f"Ticket {number} failed"
    assert mailbox.recipients == [ANN]
    assert "Miller" not in mail.as_string()
    assert f"http://dss.example.org/dss/tickets/{number}" in mail.as_string()
    assert re.fullmatch(r"<[0-9a-f]{32}@dss\.example\.org>", mail["Message-ID"])


async def test_ntfy_gets_title_text_link_and_token(ann: Client, receiver: Receiver) -> None:
    await wish(Kind.NTFY, receiver.url, "tk_1")

    number = await ended()

    await all_sent()
    (asked,) = receiver.asked
    assert asked.headers["title"] == f"Ticket {number} is done"
    assert asked.headers["click"].endswith(f"/tickets/{number}")
    assert asked.headers["authorization"] == "Bearer tk_1"
    assert b"Miller" not in asked.body


async def test_a_webhook_whose_answer_was_lost_comes_again_with_the_same_key(
    ann: Client, receiver: Receiver
) -> None:
    receiver.answers += [CUT, CUT]
    await wish(Kind.WEBHOOK, receiver.url, SECRET)

    await ended()

    await all_sent()
    assert len(receiver.keys()) == 3
    assert len(set(receiver.keys())) == 1


async def test_a_mail_whose_answer_was_lost_comes_again_with_the_same_message_id(
    ann: Client, mailbox: MailBox
) -> None:
    mailbox.cut = 1
    await wish(Kind.MAIL, ANN)

    await ended()

    await all_sent()
    first, second = mailbox.mails
    assert first["Message-ID"] == second["Message-ID"]


async def test_a_mail_that_is_put_off_comes_once_and_one_that_is_refused_not_again(
    ann: Client, mailbox: MailBox
) -> None:
    mailbox.refuse += ["451 Later"]
    await wish(Kind.MAIL, ANN)
    await ended()
    await all_sent()
    assert len(mailbox.mails) == 1
    mailbox.refuse += ["550 No such user"]

    await ended()

    assert await aside() == "The mail server answers 550."
    assert len(mailbox.mails) == 1


async def test_each_end_is_told_and_a_rolled_back_one_is_not(
    ann: Client, receiver: Receiver
) -> None:
    await wish(Kind.WEBHOOK, receiver.url, SECRET)
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
    await wish(Kind.WEBHOOK, receiver.url, SECRET)
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
    channel = await wish(Kind.WEBHOOK, receiver.url, SECRET)
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


async def test_a_redirect_is_not_followed(ann: Client, receiver: Receiver) -> None:
    receiver.answers += [307]
    await wish(Kind.WEBHOOK, receiver.url, SECRET)

    await ended()

    assert await aside() == "127.0.0.1 answers 307, a redirect, which is not followed."
    assert len(receiver.asked) == 1


async def test_tries_are_bounded_and_the_page_says_why(
    ann: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MAX_TRIES", 3)
    receiver.answers += [500] * 10
    await wish(Kind.WEBHOOK, receiver.url, SECRET)
    before = count("webhook", "set_aside"), count("webhook", "failed")

    number = await ended()

    assert await aside() == "127.0.0.1 answers 500."
    assert len(receiver.asked) == 3
    assert f"Ticket {number} by webhook: 127.0.0.1 answers 500." in await text(ann, "/account")
    assert (count("webhook", "set_aside"), count("webhook", "failed")) == (
        before[0] + 1,
        before[1] + 3,
    )


async def test_an_address_that_is_private_when_it_is_sent_to_is_refused(
    ann: Client, receiver: Receiver
) -> None:
    """A name may have led elsewhere when it was saved; here, the site lists 127.0.0.1 only."""
    await wish(Kind.WEBHOOK, f"http://127.0.0.2:{receiver.port}/", SECRET)

    await ended()

    assert "private or special" in await aside()
    assert receiver.asked == []


@pytest.mark.parametrize(
    ("answer", "tries"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"FFFFFF\r\n" * 9, 1),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 2**20, 1),
        (b"HTTP/1.1 204 No Content\r\nX: <script>\r\n\r\n", 1),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 2**20, 2),
        (b"<script>alert(1)</script>\r\n\r\n", 2),
        (b"\0" * 5000, 2),
    ],
)
async def test_a_body_is_not_read_and_an_answer_that_is_no_http_counts_as_lost(
    ann: Client, receiver: Receiver, answer: bytes, tries: int
) -> None:
    receiver.answers += [answer]
    await wish(Kind.WEBHOOK, receiver.url, SECRET)

    await ended()

    await all_sent()
    assert len(receiver.keys()) == tries
    assert len(set(receiver.keys())) == 1


async def test_a_receiver_that_hangs_is_given_up_and_holds_nobody_up(
    ann: Client, receiver: Receiver, mailbox: MailBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "SEND_S", 2.0)
    receiver.delay_s = 4
    await wish(Kind.WEBHOOK, receiver.url, SECRET)
    await wish(Kind.MAIL, ANN)

    await asyncio.gather(*(ended() for _ in range(8)))

    async def mails() -> int:
        return len(mailbox.mails)

    await eventually(mails, lambda sent: sent == 8)
    assert await Notification.filter(channel__kind="webhook").count() == 8
    await eventually(
        lambda: Notification.filter(reason__contains="did not answer").count(), lambda n: n > 0
    )


async def test_fifty_ends_are_told_within_five_seconds(ann: Client, receiver: Receiver) -> None:
    await wish(Kind.WEBHOOK, receiver.url, SECRET)
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
    await wish(Kind.NTFY, receiver.url)
    await ended()
    await eventually(lambda: Notification.filter(reason__isnull=False).count(), lambda n: n == 1)

    await gauges.look()

    def value(name: str, kind: str) -> float | None:
        return REGISTRY.get_sample_value(name, {"kind": kind})

    assert value("dss_notifications_waiting", "ntfy") == 1
    assert (value("dss_notification_age_seconds", "ntfy") or 0) > 0
    assert value("dss_notification_age_seconds", "mail") == 0
    assert count("mail", "sent") >= 0


Submit = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
def submit(ann: Client) -> Submit:
    """Send a form of the account's page with its token; status and text of where that leads."""

    async def send(path: str, **fields: str) -> tuple[int, str]:
        found = re.search(r'name="form_token" value="([^"]+)"', await text(ann, "/account"))
        assert found
        answer = await ann.post(f"/account/{path}", form={"form_token": found[1], **fields})
        if answer.status_code == 303:
            return 303, await text(ann, "/account")
        return answer.status_code, await answer.get_data(as_text=True)

    return send


async def test_a_webhook_is_chosen_tried_and_stopped_on_the_page(
    submit: Submit, receiver: Receiver
) -> None:
    status, page = await submit("webhook", address=receiver.url)
    assert status == 200
    (secret,) = re.findall(r"whsec_[\w+/=]+", page)
    assert (await NotificationChannel.get(kind="webhook")).secret == secret

    status, page = await submit("webhook/try")
    assert (status, "the receiver took it" in page) == (303, True)
    assert json.loads(receiver.asked[0].body)["type"] == "trial"
    receiver.answers += [404]
    status, page = await submit("webhook/try")
    assert (status, "did not arrive: 127.0.0.1 answers 404." in page) == (400, True)
    await submit("webhook/stop")

    assert not await NotificationChannel.exists()
    assert not await Notification.exists()


async def test_mail_goes_to_the_account_s_own_address(submit: Submit, mailbox: MailBox) -> None:
    await submit("mail", address="somebody@else.example")

    status, _ = await submit("mail/try")

    assert status == 303
    assert mailbox.recipients == [ANN]


async def test_trials_are_limited(submit: Submit, receiver: Receiver) -> None:
    await submit("ntfy", address=receiver.url)

    answers = [await submit("ntfy/try") for _ in range(7)]

    assert [status for status, _ in answers] == [303] * 6 + [400]
    assert "Too many trials" in answers[-1][1]


@pytest.mark.parametrize("kind", ["webhook", "ntfy"])
async def test_a_private_address_is_refused_when_it_is_saved(submit: Submit, kind: str) -> None:
    status, page = await submit(kind, address='https://[::ffff:10.0.0.1]/"><b>')

    assert status == 400
    assert "private or special network" in page
    assert "<b>" not in page


async def test_a_form_of_another_site_changes_nothing(ann: Client) -> None:
    answer = await ann.post("/account/mail", form={})

    assert answer.status_code == 400
    assert not await NotificationChannel.exists()


async def test_another_user_sees_nothing_of_it(portal: Portal, ann: Client) -> None:
    await wish(Kind.WEBHOOK, "https://secret.example/hook", SECRET)
    bob = await portal.user("bob@example.com")

    assert "secret.example" in await text(ann, "/account")
    assert "secret.example" not in await text(bob, "/account")
    assert SECRET not in await text(ann, "/account")
