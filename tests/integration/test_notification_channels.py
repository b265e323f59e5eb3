"""The page on which a user chooses, tries and stops notifications."""

import json
import re
from collections.abc import Awaitable, Callable

import pytest
from quart.typing import TestClientProtocol as Client

from dss_portal.models import Notification, NotificationChannel
from dss_portal.notifications.channels import ChannelKind
from support import notified
from support.notified import ANN, SECRET, wish
from support.portals import Portal, text
from support.receivers import MailBox, Receiver

pytestmark = [pytest.mark.stack]

receiver = notified.receiver
mailbox = notified.mailbox
settings = notified.settings
quick = notified.quick


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
    await wish(ChannelKind.WEBHOOK, "https://secret.example/hook", SECRET)
    bob = await portal.user("bob@example.com")

    assert "secret.example" in await text(ann, "/account")
    assert "secret.example" not in await text(bob, "/account")
    assert SECRET not in await text(ann, "/account")
