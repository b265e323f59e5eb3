"""Stores the channels through which users are notified of ended tickets, after a check of each."""

import base64
import secrets
from collections.abc import Sequence
from enum import StrEnum

from dss_portal.models import NotificationChannel, User
from dss_portal.notifications import targets
from dss_portal.notifications.content import SECRET_PREFIX
from dss_portal.refusals import Refused
from dss_portal.settings import Settings

MOST_TOKEN_CHARACTERS = 200


class ChannelKind(StrEnum):
    """The ways to notify a user."""

    MAIL = "mail"
    WEBHOOK = "webhook"
    NTFY = "ntfy"


async def of_user(user: User) -> dict[str, NotificationChannel]:
    """The user's notification channels, by kind."""
    return {c.kind: c for c in await NotificationChannel.filter(user_id=user.id)}


async def choose_mail(user: User, settings: Settings) -> None:
    """Create the user's mail channel, with the account's own address.  Raises Refused if the site sends no mail or the
    account's name is no address.
    """
    if not settings.smtp_host:
        raise Refused("This site sends no mail.")
    if "@" not in user.email:
        raise Refused(f"Your account is called {user.email}, which is no e-mail address.")
    await _save(user, ChannelKind.MAIL, address=user.email)


async def choose_webhook(user: User, address: str, networks: Sequence[targets.Network]) -> str:
    """Create or change the user's webhook.  Returns the signing secret of a new webhook; "" for an existing one, which
    keeps its secret.

    Raises Refused if the portal may not send to the address, or if the host has none.
    """
    await _check(address, networks)
    known = await NotificationChannel.get_or_none(user_id=user.id, kind=ChannelKind.WEBHOOK)
    secret = "" if known else _new_secret()
    await _save(
        user, ChannelKind.WEBHOOK, address=address, secret=known.secret if known else secret
    )
    return secret


async def new_webhook_secret(user: User) -> str:
    """Replace the webhook's signing secret and return the new one.  Raises Refused if there is no webhook."""
    secret = _new_secret()
    own = NotificationChannel.filter(user_id=user.id, kind=ChannelKind.WEBHOOK)
    if not await own.update(secret=secret):
        raise Refused("There is no webhook; save its address first.")
    return secret


async def choose_ntfy(
    user: User, address: str, token: str, networks: Sequence[targets.Network]
) -> None:
    """Create or change the user's ntfy channel.  Raises Refused if the portal may not send to the address, if the host
    has none, or for an unusable token.
    """
    await _check(address, networks)
    if len(token) > MOST_TOKEN_CHARACTERS or not (token.isascii() and token.isprintable()):
        raise Refused(
            f"The access token may have {MOST_TOKEN_CHARACTERS} ASCII characters at most."
        )
    await _save(user, ChannelKind.NTFY, address=address, secret=token)


async def stop(user: User, kind: ChannelKind) -> None:
    """Delete the user's channel of this kind, and the notifications that wait to be sent through it."""
    await NotificationChannel.filter(user_id=user.id, kind=kind).delete()


def _new_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


async def _check(address: str, networks: Sequence[targets.Network]) -> None:
    try:
        await targets.resolve_permitted(address, networks)
    except targets.NotFound as error:
        raise Refused(str(error)) from error


async def _save(user: User, kind: ChannelKind, *, address: str, secret: str = "") -> None:
    await NotificationChannel.update_or_create(
        {"address": address, "secret": secret}, user_id=user.id, kind=kind
    )
