"""The page on which a user chooses, tries and stops notifications."""

import base64
import json
import re
from collections.abc import Awaitable, Callable, Iterator

import pytest
from quart.typing import TestClientProtocol as Client

from dss_portal.models import Notification, NotificationChannel
from dss_portal.notifications import outbox, sender
from dss_portal.notifications.channels import ChannelKind
from dss_portal.settings import Settings
from support.notified import ANN, wish, with_mail
from support.portals import Portal, text
from support.receivers import MailBox, Receiver, http_receiver, mail_server

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]
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
    return with_mail(settings, mailbox)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "FIRST_DELAY_S", 0.05)
    monkeypatch.setattr(sender, "IDLE_S", 0.1)


@pytest.fixture
async def ann(portal: Portal) -> Client:
    await portal.announce_service()
    return await portal.user(ANN)


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
