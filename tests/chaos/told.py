"""Receivers of a run's notifications, which lose some of their answers."""

import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aiosmtpd.smtp import SMTP, Envelope, Session

from dss_portal.models import NotificationChannel, User
from dss_portal.notifications.channels import ChannelKind
from support.notified import SECRET
from support.receivers import CUT, Asked, MailBox, Receiver, http_receiver, mail_server

LOST = 0.03
"""Share of the answers that a receiver does not give."""
DELAY_S = 0.2
"""Time until an answer, so that faults meet notifications on their way."""
MOST_ANSWERS = 50_000


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A notification that a receiver got.  ``answered_s``: when its answer was sent, None if it was never sent."""

    kind: str
    key: str
    ticket: int
    got_s: float
    answered_s: float | None


class LossyMailBox(MailBox):
    """Loses some answers, as ``LOST`` says, and notes when each mail came."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._dice = random.Random(seed)
        self.deliveries: list[Delivery] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        got_s = time.time()
        self.cut = int(self._dice.random() < LOST)
        is_lost = bool(self.cut)
        answer = await super().handle_DATA(server, session, envelope)
        mail = self.mails.pop()
        key = str(mail["Message-ID"])
        number = int(str(mail["Subject"]).split()[1])
        answered_s = None if is_lost else time.time()
        self.deliveries.append(
            Delivery(kind="mail", key=key, ticket=number, got_s=got_s, answered_s=answered_s)
        )
        return answer


@dataclass(frozen=True, kw_only=True)
class Receivers:
    """One receiver for each kind of channel."""

    mails: LossyMailBox
    webhook: Receiver
    ntfy: Receiver

    def settings(self) -> dict[str, str]:
        """Settings of portals that notify these receivers."""
        return {
            "DSS_SMTP_HOST": "127.0.0.1",
            "DSS_SMTP_PORT": str(self.mails.port),
            "DSS_SMTP_SECURITY": "none",
            "DSS_SMTP_FROM": "dss@example.org",
            "DSS_NOTIFY_NETWORKS": "127.0.0.1/32",
        }

    async def subscribe(self, user: User) -> None:
        """Tell ``user`` of each end by all receivers."""
        addresses = {
            ChannelKind.MAIL: (user.email, ""),
            ChannelKind.WEBHOOK: (self.webhook.url, SECRET),
            ChannelKind.NTFY: (self.ntfy.url, ""),
        }
        for kind, (address, secret) in addresses.items():
            await NotificationChannel.create(
                user=user, kind=kind.value, address=address, secret=secret
            )

    def deliveries(self) -> list[Delivery]:
        """All that came, of each kind in the order in which it came."""
        webhooks = [
            _delivery("webhook", each, json.loads(each.body)["data"]["ticket"])
            for each in list(self.webhook.asked)
        ]
        pushed = [
            _delivery("ntfy", each, int(each.headers["title"].split()[1]))
            for each in list(self.ntfy.asked)
        ]
        return [*self.mails.deliveries, *webhooks, *pushed]


def _delivery(kind: str, asked: Asked, number: int) -> Delivery:
    key = asked.headers["idempotency-key"]
    answered_s = asked.at_s + DELAY_S if asked.answered else None
    return Delivery(kind=kind, key=key, ticket=number, got_s=asked.at_s, answered_s=answered_s)


@contextmanager
def receivers(seed: int) -> Iterator[Receivers]:
    dice = random.Random(seed)
    with (
        mail_server(box=LossyMailBox(seed)) as mails,
        http_receiver() as webhook,
        http_receiver() as ntfy,
    ):
        assert isinstance(mails, LossyMailBox)
        for each in (webhook, ntfy):
            each.delay_s = DELAY_S
            each.answers += [CUT if dice.random() < LOST else 200 for _ in range(MOST_ANSWERS)]
        yield Receivers(mails=mails, webhook=webhook, ntfy=ntfy)
