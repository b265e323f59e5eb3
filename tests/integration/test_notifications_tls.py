"""Mail and webhooks over TLS: which certificates the portal trusts, and for which names."""

import asyncio
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dss_portal.notifications.channels import ChannelKind
from dss_portal.notifications.outbox import LeasedNotification
from dss_portal.notifications.receivers import NotAccepted, Receivers
from dss_portal.settings import Settings
from support.receivers import http_receiver, mail_server
from support.tls import certificate

SECRET = "whsec_c2VjcmV0"


def settings_for(**own: object) -> Settings:
    needed = {
        "database_url": "postgres://nobody@127.0.0.1/none",
        "amqp_url": "amqp://memory",
        "datastore": Path("/nowhere"),
        "secret_key": "k" * 32,
        "notify_networks": "127.0.0.0/8,::1/128",
    }
    return Settings.model_validate(needed | own)


def taken(kind: ChannelKind, address: str, secret: str = "") -> LeasedNotification:
    return LeasedNotification(
        id=1,
        kind=kind.value,
        address=address,
        secret=secret,
        key="k" * 32,
        ticket_id=7,
        service="lungs",
        outcome="success",
        ended_at=datetime.now(UTC),
        tries=1,
    )


async def send(receivers: Receivers, what: LeasedNotification) -> None:
    try:
        await asyncio.wait_for(receivers.send(what), 10)
    finally:
        await receivers.close()


async def test_a_webhook_s_certificate_is_checked_by_its_name_while_we_connect_to_an_address(
    tmp_path: Path,
) -> None:
    authority, tls = certificate(tmp_path, "localhost")
    trusting = ssl.create_default_context(cafile=str(authority))
    with http_receiver(tls) as receiver:
        hook = taken(ChannelKind.WEBHOOK, f"https://localhost:{receiver.port}/", SECRET)

        await send(Receivers(settings_for(), trusting), hook)

    assert receiver.asked[0].headers["host"] == f"localhost:{receiver.port}"


@pytest.mark.parametrize(("name", "trusted"), [("other.example", True), ("localhost", False)])
async def test_a_webhook_with_another_certificate_is_not_sent(
    tmp_path: Path, name: str, trusted: bool
) -> None:
    authority, tls = certificate(tmp_path, name)
    trusting = ssl.create_default_context(cafile=str(authority)) if trusted else None
    with http_receiver(tls) as receiver:
        hook = taken(ChannelKind.WEBHOOK, f"https://localhost:{receiver.port}/", SECRET)

        with pytest.raises(NotAccepted, match="its certificate is not valid"):
            await send(Receivers(settings_for(), trusting), hook)

    assert receiver.asked == []


def mail_settings(tmp_path: Path, port: int, ca_file: str, password: str) -> Settings:
    (tmp_path / "password").write_text(f"{password}\n", encoding="utf-8")
    return settings_for(
        smtp_host="localhost",
        smtp_port=port,
        smtp_user="dss",
        smtp_password_file=str(tmp_path / "password"),
        smtp_ca_file=ca_file,
        smtp_from="dss@example.org",
    )


async def test_mail_goes_after_starttls_and_sign_in(tmp_path: Path) -> None:
    authority, tls = certificate(tmp_path, "localhost")
    with mail_server(tls, "right") as box:
        own = mail_settings(tmp_path, box.port, str(authority), "right")

        await send(Receivers(own), taken(ChannelKind.MAIL, "ann@example.com"))

    assert box.recipients == ["ann@example.com"]


async def test_mail_with_a_wrong_password_is_tried_again(tmp_path: Path) -> None:
    authority, tls = certificate(tmp_path, "localhost")
    with mail_server(tls, "right") as box:
        own = mail_settings(tmp_path, box.port, str(authority), "wrong")

        with pytest.raises(NotAccepted, match="refuses this site's password") as raised:
            await send(Receivers(own), taken(ChannelKind.MAIL, "ann@example.com"))

    assert not raised.value.for_ever
    assert box.mails == []


async def test_no_password_goes_to_a_mail_server_with_another_certificate(tmp_path: Path) -> None:
    _, tls = certificate(tmp_path, "localhost")
    with mail_server(tls, "right") as box:
        own = mail_settings(tmp_path, box.port, "", "right")

        with pytest.raises(NotAccepted, match="mail server"):
            await send(Receivers(own), taken(ChannelKind.MAIL, "ann@example.com"))

    assert box.mails == []


async def test_a_mail_server_that_is_away_is_tried_again() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        own = settings_for(
            smtp_host="127.0.0.1", smtp_port=probe.getsockname()[1], smtp_from="dss@example.org"
        )

        with pytest.raises(NotAccepted) as raised:
            await send(Receivers(own), taken(ChannelKind.MAIL, "ann@example.com"))

    assert not raised.value.for_ever


async def test_an_account_with_a_line_break_in_its_name_writes_no_header() -> None:
    own = settings_for(smtp_host="127.0.0.1", smtp_from="dss@example.org")

    with pytest.raises(NotAccepted, match="cannot be written"):
        await send(
            Receivers(own), taken(ChannelKind.MAIL, "ann@example.com\r\nBcc: eve@example.com")
        )


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        ({"smtp_host": "mail"}, "DSS_SMTP_FROM"),
        ({"smtp_host": "mail", "smtp_from": "a@b", "smtp_user": "dss"}, "PASSWORD_FILE"),
        (
            {"smtp_host": "mail", "smtp_from": "a@b", "smtp_user": "u", "smtp_password_file": "/x"},
            "there is no file /x",
        ),
        (
            {
                "smtp_host": "mail",
                "smtp_from": "a@b",
                "smtp_user": "u",
                "smtp_password_file": "/x",
                "smtp_security": "none",
            },
            "in the clear",
        ),
        ({"notify_networks": "house"}, "DSS_NOTIFY_NETWORKS: 'house'"),
    ],
)
def test_settings_that_would_fail_later_are_refused(own: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        settings_for(**own)
