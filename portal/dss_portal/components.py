"""Builds the objects that the routes and the background tasks of one portal process share."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from dss_broker.broker import Broker
from dss_portal.accounts.limits import RateLimits
from dss_portal.accounts.session_cache import SessionCache
from dss_portal.background import Background
from dss_portal.changes.feed import Feed
from dss_portal.datastore import Datastore
from dss_portal.datastores import datastore_of
from dss_portal.estimates.estimates import Estimates
from dss_portal.live.streams import Streams
from dss_portal.notifications.sender import Sender
from dss_portal.outbox.relay import Relay
from dss_portal.providers import claiming
from dss_portal.request_batching import RequestBatcher
from dss_portal.services.statistics import Statistics
from dss_portal.settings import Settings
from dss_portal.tickets import queue_places

if TYPE_CHECKING:
    from dss_portal.accounts.openid import OpenIdIssuer


@dataclass(frozen=True, kw_only=True)
class Components:
    """The objects that the routes and the background tasks of one portal process share.  ``openid`` is None unless the
    settings name an OpenID Connect issuer.
    """

    settings: Settings
    broker: Broker
    datastore: Datastore
    relay: Relay
    background: Background
    limits: RateLimits
    openid: "OpenIdIssuer | None"
    feed: Feed
    sessions: SessionCache
    claim_batcher: RequestBatcher[claiming.ClaimRequest, claiming.Granted]
    streams: Streams
    notifier: Sender
    estimates: Estimates
    statistics: Statistics

    @classmethod
    def build(cls, settings: Settings, broker: Broker) -> Self:
        """Make the components from the settings.  Nothing is connected yet."""
        feed = Feed(settings.database_url.get_secret_value())
        return cls(
            settings=settings,
            broker=broker,
            datastore=datastore_of(settings),
            relay=Relay(broker),
            background=Background(),
            limits=RateLimits(settings),
            openid=_issuer(settings),
            feed=feed,
            sessions=SessionCache(feed),
            streams=Streams(feed, queue_places.users_waiting),
            notifier=Sender(settings),
            estimates=Estimates(feed),
            statistics=Statistics(),
            claim_batcher=RequestBatcher(claiming.grant, claiming.MOST),
        )


def _issuer(settings: Settings) -> "OpenIdIssuer | None":
    if not settings.oidc_issuer:
        return None
    from dss_portal.accounts.openid import OpenIdIssuer  # noqa: PLC0415 - takes 0.3 s; many sites need it not

    return OpenIdIssuer(
        settings.oidc_issuer,
        settings.oidc_client_id,
        settings.oidc_client_secret.get_secret_value(),
        f"{settings.public_url.rstrip('/')}/api/oauth2cb",
        os.environ,
    )
