"""The portal for which ``dss service publish`` and ``test`` work, and the publisher that they run."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from dss_client.console import ExplainedError, jar_of
from dss_client.credentials import LONG_LIVED_PREFIX, Credentials
from dss_client.error_sentences import sentence
from dss_client.errors import ClientError, Refused
from dss_client.output import say as print_text
from dss_provider.errors import ServiceInvalid
from dss_provider.folder import ServiceFolder

if TYPE_CHECKING:
    from dss_provider.serving import Offer, ServicePublisher

WHERE_FROM = (
    "One with the scope provider begins with dss_ and goes into DSS_TOKEN, or is kept by dss login. "
    "A site admin makes it: dss-portal tokens create YOU@EXAMPLE.ORG --scope provider"
)
BEAT_S = 15.0


@dataclass(frozen=True)
class Site:
    """A portal's address, a token (or ""), and the provider's name (or ""), as given by the command's options."""

    server: str
    token: str
    provider: str


def publisher_of(
    service: ServiceFolder, site: Site, beat_s: float, say: Callable[[str], None]
) -> "tuple[ServicePublisher, Offer]":
    """The publisher of the service, and the service as the portal lists it.  Raises ExplainedError without a token, or if
    the portal does not answer or refuses the request; ServiceInvalid if the portal does not offer the service, or if
    too many publishers of it run.
    """
    from dss_provider.held import held_tickets_of  # noqa: PLC0415  (takes a while to import)
    from dss_provider.portal import Portal  # noqa: PLC0415
    from dss_provider.serving import ServicePublisher, differences, offer_of  # noqa: PLC0415
    from dss_provider.ticket import work_on  # noqa: PLC0415

    token = token_for(site.server, site.token)

    def connect() -> Portal:
        return Portal(site.server, token)

    try:
        first = Portal(
            site.server, token, retry_s=0
        )  # do not wait, because the address may be wrong
        offer = offer_of(service, first, site.provider)
        offer = replace(offer, warnings=differences(service, first, offer))
        first.close()
    except ServiceInvalid:
        raise
    except ClientError as error:
        unknown = isinstance(error, Refused) and error.status == HTTPStatus.UNAUTHORIZED
        text = f"{site.server} does not know this token, or not any more. {WHERE_FROM}"
        raise ExplainedError(text if unknown else sentence(error, site.server)) from error
    work = partial(work_on, service=service, connect=connect, beat_s=beat_s, say=tell)
    return ServicePublisher(offer, connect, work, held_tickets_of(site.server, service), say), offer


def instance() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


def token_for(server: str, option: str) -> str:
    """The token for programs: ``option``, or else the one that ``dss login`` has stored for ``server``.  Raises
    ExplainedError if there is neither, or if ``option`` is another kind of token.
    """
    token = option.strip() or Credentials(jar_of(server, None)).token()
    if not token.startswith(LONG_LIVED_PREFIX):
        raise ExplainedError(f"A token for programs is needed. {WHERE_FROM}")
    return token


def tell(text: str) -> None:
    """Print ``text`` to standard error."""
    print_text(text, error=True)
