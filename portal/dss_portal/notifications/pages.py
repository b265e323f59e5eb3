"""``/account``: the page where users choose notifications about the ends of tickets."""

import asyncio

from quart import Blueprint, Response

from dss_portal.accounts.sessions import current_user
from dss_portal.models import Notification, NotificationChannel
from dss_portal.notifications import channels, outbox
from dss_portal.notifications.channels import ChannelKind
from dss_portal.notifications.sender import SEND_S
from dss_portal.pages import addresses, forms
from dss_portal.pages.guards import only_signed_in
from dss_portal.pages.rendering import page, problem_of, see_other
from dss_portal.refusals import Refused
from dss_portal.web.context import components

blueprint = Blueprint("account", __name__, url_prefix=addresses.ACCOUNT)
blueprint.before_request(only_signed_in)

_KIND = f"any({', '.join(ChannelKind)}):kind"
_POLL_S = 0.1
_SECRET_HINT = (
    "Your receiver checks signatures with it (Standard Webhooks, HMAC-SHA256). It is shown once."  # noqa: S105 - a sentence
)


@blueprint.get("")
async def show(problem: str = "", at: str = "") -> Response:
    """The page.  If ``problem`` is a sentence, the status is 400 and the sentence is shown at the form ``at``, a kind
    of channel.
    """
    user = current_user()
    failed = Notification.filter(channel__user_id=user.id, reason__isnull=False)
    return await page(
        "account.html",
        status=400 if problem else 200,
        channels=await channels.of_user(user),
        failed=await failed.order_by("-id").limit(outbox.KEPT).select_related("channel"),
        sends_mail=bool(components().settings.smtp_host),
        problems={at: problem},
    )


@blueprint.post(f"/<{_KIND}>")
async def save(kind: str) -> Response:
    """Create or change the user's channel of this kind.  The signing secret of a new webhook is shown once, in the
    response itself.
    """
    try:
        secret = await _save(ChannelKind(kind), await forms.submitted())
    except Refused as error:
        return await show(error.for_people, at=kind)
    if secret:
        return await _shown_secret(secret)
    return await see_other(addresses.ACCOUNT, "Saved. Try it, to see that it arrives.")


@blueprint.post(f"/<{_KIND}>/stop")
async def stop(kind: str) -> Response:
    await channels.stop(current_user(), ChannelKind(kind))
    return await see_other(addresses.ACCOUNT, "You are not told that way any more.")


@blueprint.post(f"/<{_KIND}>/try")
async def try_it(kind: str) -> Response:
    """Send a notification that only tries the channel, and show whether the receiver accepted it."""
    if problem := await problem_of(_try(ChannelKind(kind))):
        return await show(problem, at=kind)
    return await see_other(addresses.ACCOUNT, "The trial was sent, and the receiver took it.")


@blueprint.post("/webhook/secret")
async def new_secret() -> Response:
    try:
        return await _shown_secret(await channels.new_webhook_secret(current_user()))
    except Refused as error:
        return await show(error.for_people, at=ChannelKind.WEBHOOK)


async def _shown_secret(secret: str) -> Response:
    return await page(
        "secret.html", name="Signing secret of your webhook", secret=secret, hint=_SECRET_HINT
    )


async def _save(kind: ChannelKind, form: forms.Form) -> str:
    """Save the channel that the form describes.  Returns the signing secret of a new webhook, otherwise "".  Raises
    Refused if the portal cannot send to that address, or if the token is not usable.
    """
    settings, user = components().settings, current_user()
    networks = settings.notify_networks_listed
    match kind:
        case ChannelKind.MAIL:
            await channels.choose_mail(user, settings)
        case ChannelKind.WEBHOOK:
            return await channels.choose_webhook(user, form.text("address"), networks)
        case ChannelKind.NTFY:
            await channels.choose_ntfy(user, form.text("address"), form.text("token"), networks)
    return ""


async def _try(kind: ChannelKind) -> None:
    """Send a notification that only tries the channel, and return when the receiver has accepted it.  Raises Refused
    with the reason if the receiver has not, or not in time; if there is no such channel; or if the user tries too
    often.
    """
    user = current_user()
    components().limits.trials.count(str(user.id))
    channel = await NotificationChannel.get_or_none(user_id=user.id, kind=kind)
    if channel is None:
        raise Refused("Save it first.")
    number = await outbox.put_trial(channel)
    for _ in range(round((SEND_S + 5) / _POLL_S)):
        trial = await Notification.get_or_none(id=number)
        if trial is None:
            return
        if trial.set_aside_at is not None:
            await trial.delete()
            raise Refused(f"The trial did not arrive: {trial.reason}")
        await asyncio.sleep(_POLL_S)
    raise Refused("The trial is still under way; if it fails, the reason is shown here.")
