"""Tickets whose end a user asked to be told of, and what waits to be sent."""

import base64
from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY
from tortoise.transactions import in_transaction

from dss_portal.models import Notification, NotificationChannel, Service, Status, Ticket, User
from dss_portal.notifications import outbox, sender
from dss_portal.notifications.channels import ChannelKind
from dss_portal.settings import Settings
from dss_portal.tickets import store
from dss_portal.tickets.lifecycle import Event, Succeeded
from support.portals import eventually
from support.receivers import MailBox, Receiver, http_receiver, mail_server

ANN = "ann@example.com"
SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()


async def wish(kind: ChannelKind, address: str, secret: str = "") -> NotificationChannel:
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
    await eventually(waiting, lambda left: left == 0, within_s=60)


def count(kind: str, outcome: str) -> float:
    labels = {"kind": kind, "outcome": outcome}
    return REGISTRY.get_sample_value("dss_notifications_total", labels) or 0.0


def with_mail(settings: Settings, mailbox: MailBox) -> Settings:
    """A portal that sends mail to ``mailbox``, and webhooks to this machine."""
    own = {
        "smtp_host": "127.0.0.1",
        "smtp_port": mailbox.port,
        "smtp_security": "none",
        "smtp_from": "dss@example.org",
        "notify_networks": "127.0.0.1/32",
        "public_url": "http://dss.example.org/dss",
    }
    return settings.model_copy(update=own)


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
    return with_mail(settings, mailbox)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "FIRST_DELAY_S", 0.05)
    monkeypatch.setattr(sender, "IDLE_S", 0.1)
