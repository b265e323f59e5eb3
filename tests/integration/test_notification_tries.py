"""Lost answers, refusals and receivers that hang: how often a notification is tried, and when it is given up."""

import asyncio

import pytest
from quart.typing import TestClientProtocol as Client

from dss_portal.models import Notification
from dss_portal.notifications import outbox, sender
from dss_portal.notifications.channels import ChannelKind
from support import notified
from support.notified import ANN, SECRET, all_sent, count, ended, wish
from support.portals import eventually, text
from support.receivers import CUT, MailBox, Receiver

pytestmark = [pytest.mark.stack]

receiver = notified.receiver
mailbox = notified.mailbox
settings = notified.settings
quick = notified.quick


async def aside() -> str:
    """The reason of the one that is set aside."""
    found = await eventually(
        lambda: Notification.filter(set_aside_at__isnull=False), lambda rows: len(rows) == 1
    )
    return str(found[0].reason)


async def test_a_webhook_whose_answer_was_lost_comes_again_with_the_same_key(
    ann: Client, receiver: Receiver
) -> None:
    receiver.answers += [CUT, CUT]
    await wish(ChannelKind.WEBHOOK, receiver.url, SECRET)

    await ended()

    await all_sent()
    assert len(receiver.keys()) == 3
    assert len(set(receiver.keys())) == 1


async def test_a_mail_whose_answer_was_lost_comes_again_with_the_same_message_id(
    ann: Client, mailbox: MailBox
) -> None:
    mailbox.cut = 1
    await wish(ChannelKind.MAIL, ANN)

    await ended()

    await all_sent()
    first, second = mailbox.mails
    assert first["Message-ID"] == second["Message-ID"]


async def test_a_mail_that_is_put_off_comes_once_and_one_that_is_refused_not_again(
    ann: Client, mailbox: MailBox
) -> None:
    mailbox.refuse += ["451 Later"]
    await wish(ChannelKind.MAIL, ANN)
    await ended()
    await all_sent()
    assert len(mailbox.mails) == 1
    mailbox.refuse += ["550 No such user"]

    await ended()

    assert await aside() == "The mail server answers 550."
    assert len(mailbox.mails) == 1


async def test_a_redirect_is_not_followed(ann: Client, receiver: Receiver) -> None:
    receiver.answers += [307]
    await wish(ChannelKind.WEBHOOK, receiver.url, SECRET)

    await ended()

    assert await aside() == "127.0.0.1 answers 307, a redirect, which is not followed."
    assert len(receiver.asked) == 1


async def test_tries_are_bounded_and_the_page_says_why(
    ann: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MAX_TRIES", 3)
    receiver.answers += [500] * 10
    await wish(ChannelKind.WEBHOOK, receiver.url, SECRET)
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
    await wish(ChannelKind.WEBHOOK, f"http://127.0.0.2:{receiver.port}/", SECRET)

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
    await wish(ChannelKind.WEBHOOK, receiver.url, SECRET)

    await ended()

    await all_sent()
    assert len(receiver.keys()) == tries
    assert len(set(receiver.keys())) == 1


async def test_a_receiver_that_hangs_is_given_up_and_holds_nobody_up(
    ann: Client, receiver: Receiver, mailbox: MailBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "SEND_S", 2.0)
    receiver.delay_s = 4
    await wish(ChannelKind.WEBHOOK, receiver.url, SECRET)
    await wish(ChannelKind.MAIL, ANN)

    await asyncio.gather(*(ended() for _ in range(8)))

    async def mails() -> int:
        return len(mailbox.mails)

    await eventually(mails, lambda sent: sent == 8)
    assert await Notification.filter(channel__kind="webhook").count() == 8
    await eventually(
        lambda: Notification.filter(reason__contains="did not answer").count(), lambda n: n > 0
    )
