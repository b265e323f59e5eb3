"""Sends a notification to its receiver: by SMTP, or by one HTTP request to a permitted address."""

import asyncio
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import aiosmtplib
import httpx2

from dss_portal.notifications import content, targets
from dss_portal.notifications.channels import ChannelKind
from dss_portal.notifications.content import Notice
from dss_portal.notifications.outbox import LeasedNotification
from dss_portal.pages import addresses
from dss_portal.refusals import Refused
from dss_portal.settings import Settings

CONNECT_S = 5.0
MAIL_ANSWER_S = 10.0
"""Longest time that a mail server may take for one answer."""
QUIT_S = 1.0
_MAY_CHANGE = {408, 425, 429}
"""HTTP statuses below 500 after which a later attempt may succeed."""


class NotAccepted(Exception):
    """The receiver has not accepted a notification, or its response was lost.  With ``for_ever``, a later attempt
    would fail in the same way.
    """

    def __init__(self, reason: str, *, for_ever: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.for_ever = reason, for_ever


class Receivers:
    """Sends the notifications of one portal process.  HTTP connections are not reused, because each belongs to one
    checked address and one host name.
    """

    def __init__(self, settings: Settings, authorities: ssl.SSLContext | None = None) -> None:
        """``authorities`` are the certificate authorities for https; None means the usual ones."""
        self._settings = settings
        self._authorities = authorities
        self._client: httpx2.AsyncClient | None = None

    @property
    def _http(self) -> httpx2.AsyncClient:
        """The HTTP client.  Made for the first notification over HTTP, because reading the certificate authorities
        takes long.
        """
        self._client = self._client or httpx2.AsyncClient(
            verify=self._authorities or True,
            trust_env=False,  # a proxy would connect to an address that was not checked
            follow_redirects=False,
            timeout=httpx2.Timeout(None, connect=CONNECT_S),  # the caller limits the total time
            limits=httpx2.Limits(max_keepalive_connections=0),
        )
        return self._client

    async def send(self, taken: LeasedNotification) -> None:
        """Send a notification, and return when the receiver has accepted it.  Raises NotAccepted if it does not.  Has no
        time limit of its own, so the caller must set one.
        """
        notice = self._notice(taken)
        if taken.kind == ChannelKind.MAIL:
            await self._mail(notice, taken.address)
        elif taken.kind == ChannelKind.WEBHOOK:
            body = content.webhook_body(notice)
            headers = content.webhook_headers(notice, taken.secret, body, int(time.time()))
            await self._post(taken.address, headers, body)
        else:
            headers = content.ntfy_headers(notice, taken.secret)
            await self._post(taken.address, headers, content.text(notice).encode())

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    def _notice(self, taken: LeasedNotification) -> Notice:
        number = taken.ticket_id
        path = addresses.ACCOUNT if number is None else addresses.ticket(number)
        return Notice(
            key=taken.key,
            ticket_id=taken.ticket_id,
            service=taken.service,
            outcome=taken.outcome,
            ended_at=taken.ended_at,
            link=self._settings.public_url.rstrip("/") + path,
        )

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        try:
            target = await targets.resolve_permitted(url, self._settings.notify_networks_listed)
        except Refused as error:
            raise NotAccepted(error.text, for_ever=True) from error
        except targets.NotFound as error:
            raise NotAccepted(str(error)) from error
        _judge_status(target.host, await self._status(target, headers, body))

    async def _status(
        self, target: targets.Destination, headers: Mapping[str, str], body: bytes
    ) -> int:
        """Send the request, and return the status of the response, whose body is not read.  The addresses of ``target``
        are tried in order until one connects.  Raises NotAccepted if none does, or the connection ends without a response.
        """
        for address in target.addresses:
            url = httpx2.URL(target.url).copy_with(host=address)
            try:
                async with self._http.stream(
                    "POST",
                    url,
                    headers={**headers, "Host": target.authority},
                    content=body,
                    extensions={"sni_hostname": target.host},
                ) as answer:
                    return answer.status_code
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                refused = _unconnected(target.host, error)
            except httpx2.HTTPError as error:
                raise NotAccepted(
                    f"{target.host} ended the connection without an answer."
                ) from error
        raise refused

    async def _mail(self, notice: Notice, recipient: str) -> None:
        settings = self._settings
        if not settings.smtp_host:
            raise NotAccepted("This site sends no mail any more.", for_ever=True)
        host = urlsplit(settings.public_url).hostname or "localhost"
        try:
            message = content.mail(
                notice, sender=settings.smtp_from, recipient=recipient, host=host
            )
            client = await asyncio.to_thread(self._smtp)
        except (ValueError, OSError) as error:
            raise NotAccepted("The mail cannot be written; please tell the operator.") from error
        try:
            await client.connect()
            await client.send_message(message, sender=settings.smtp_from, recipients=[recipient])
        except (aiosmtplib.SMTPException, OSError) as error:
            client.close()
            raise _mail_refused(error) from error
        except BaseException:
            client.close()
            raise
        with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
            await asyncio.wait_for(client.quit(), QUIT_S)
        client.close()

    def _smtp(self) -> aiosmtplib.SMTP:
        """A client for the mail server, not yet connected.  The password is read from its file each time, so that it
        may be changed.  Raises OSError if the file cannot be read.
        """
        settings = self._settings
        password = settings.smtp_password_file
        encrypted = settings.smtp_security != "none"
        return aiosmtplib.SMTP(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            username=settings.smtp_user or None,
            password=Path(password).read_text("utf-8-sig").strip() if password else None,
            use_tls=settings.smtp_security == "tls",
            start_tls=settings.smtp_security == "starttls",
            tls_context=ssl.create_default_context(cafile=settings.smtp_ca_file or None)
            if encrypted
            else None,
            timeout=MAIL_ANSWER_S,
        )


def _judge_status(host: str, status: int) -> None:
    """Raises NotAccepted unless ``status`` is a success."""
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        sentence = f"{host} answers {status}, a redirect, which is not followed."
        raise NotAccepted(sentence, for_ever=True)
    temporary = status >= 500 or status in _MAY_CHANGE
    raise NotAccepted(f"{host} answers {status}.", for_ever=not temporary)


def _unconnected(host: str, error: Exception) -> NotAccepted:
    why = "its certificate is not valid" if "CERTIFICATE" in str(error).upper() else "no connection"
    return NotAccepted(f"{host} cannot be reached: {why}.")


def _mail_refused(error: Exception) -> NotAccepted:
    """The NotAccepted for an error of the mail server.  It is final for SMTP statuses of 500 and above, except if the
    server refuses the password of this site.
    """
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return NotAccepted("The mail server refuses this site's password.")
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return NotAccepted(f"The mail server answers {error.code}.", for_ever=error.code >= 500)
    return NotAccepted("The mail server ended the connection, or cannot be reached.")
