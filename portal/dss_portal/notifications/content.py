"""The content of notifications: only the ticket's number, its service, its outcome and a link.  Pure.

Webhooks are signed as https://www.standardwebhooks.com describes, so that receivers can verify them with a library.
"""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime

_ENDED = {"success": "is done", "failed": "failed", "timeout": "was given up"}
SECRET_PREFIX = "whsec_"  # noqa: S105 - what a secret begins with


@dataclass(frozen=True, kw_only=True)
class Notice:
    """The facts of one notification.  ``key`` is the same in every attempt.  For a notification that only tries the
    channel, ``ticket_id`` is None and ``service`` and ``outcome`` are "".
    """

    key: str
    ticket_id: int | None
    service: str
    outcome: str
    ended_at: datetime
    link: str


def subject(notice: Notice) -> str:
    """The subject of a notification: one line of ASCII."""
    if notice.ticket_id is None:
        return "Trial of your notifications"
    return f"Ticket {notice.ticket_id} {_ENDED[notice.outcome]}"


def text(notice: Notice) -> str:
    if notice.ticket_id is None:
        return (
            f"Notifications of the Distributed Segmentation Service arrive here.\n{notice.link}\n"
        )
    return f"{subject(notice)} (service {notice.service}).\n{notice.link}\n"


def mail(notice: Notice, *, sender: str, recipient: str, host: str) -> EmailMessage:
    """The notification as a mail.  ``host`` is the part of its Message-ID after the ``@``.  Raises ValueError if an
    address has a line break.
    """
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, recipient, subject(notice)
    message["Message-ID"] = f"<{notice.key}@{host}>"
    message["Date"] = format_datetime(notice.ended_at)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text(notice))
    return message


def webhook_body(notice: Notice) -> bytes:
    """The body of a webhook: the notification as JSON."""
    data: dict[str, object] = {"link": notice.link}
    if notice.ticket_id is not None:
        data |= {"ticket": notice.ticket_id, "service": notice.service, "outcome": notice.outcome}
    kind = "trial" if notice.ticket_id is None else "ticket.ended"
    at = notice.ended_at.astimezone(UTC).isoformat()
    return json.dumps({"type": kind, "timestamp": at, "data": data}).encode()


def webhook_headers(notice: Notice, secret: str, body: bytes, now_s: int) -> dict[str, str]:
    """Headers of a webhook, with its signature.  ``now_s`` is Unix time; ``secret`` is ``whsec_`` followed by base64."""
    return {
        "Content-Type": "application/json",
        "Idempotency-Key": notice.key,
        "webhook-id": notice.key,
        "webhook-timestamp": str(now_s),
        "webhook-signature": f"v1,{signature(secret, notice.key, now_s, body)}",
    }


def signature(secret: str, key: str, now_s: int, body: bytes) -> str:
    """The signature of a webhook: base64 of the HMAC-SHA256 over ``key.now_s.body``."""
    raw = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = f"{key}.{now_s}.".encode() + body
    return base64.b64encode(hmac.digest(raw, signed, hashlib.sha256)).decode()


def ntfy_headers(notice: Notice, token: str) -> dict[str, str]:
    """Headers of a notification to ntfy.  A server replaces a message by a later one with the same ``X-Sequence-ID``,
    so a repeated attempt is shown once.  ``token`` is the access token; "" for none.
    """
    tags = {"success": "white_check_mark", "": "wave"}.get(notice.outcome, "warning")
    headers = {
        "Title": subject(notice),
        "Click": notice.link,
        "Tags": tags,
        "X-Sequence-ID": notice.key,
        "Idempotency-Key": notice.key,
    }
    return headers | ({"Authorization": f"Bearer {token}"} if token else {})
