"""Builds the portal's web application: the Quart app with all routes, and the ASGI layers in front of it."""

from quart import Quart

from dss_broker.broker import Broker
from dss_portal import health, lifespan
from dss_portal.accounts import openid_routes as openid
from dss_portal.accounts import routes as accounts
from dss_portal.accounts import sessions
from dss_portal.admin import routes as admin
from dss_portal.attachments import routes as attachments
from dss_portal.changes.feed import Feed
from dss_portal.components import Components
from dss_portal.dead_letters import routes as dead_letters
from dss_portal.device_sign_in import routes as device_sign_in
from dss_portal.openapi import routes as openapi
from dss_portal.pages import routes as pages
from dss_portal.patches import quart as quart_patch
from dss_portal.patches import werkzeug as werkzeug_patch
from dss_portal.polls.answering import App, Polls
from dss_portal.polls.callers import Callers
from dss_portal.polls.snapshots import Snapshots
from dss_portal.providers import routes as providers
from dss_portal.result_links import routes as result_links
from dss_portal.resumable import routes as resumable
from dss_portal.sending import routes as sending
from dss_portal.services import routes as services
from dss_portal.serving.layer_attempt import FrameworkGuard
from dss_portal.settings import Settings
from dss_portal.tickets import routes as tickets
from dss_portal.web import asgi, context, converters, errors, metering, ranges, tracing
from dss_portal.writes import answering as writes
from dss_portal.writes.answering import Writes
from dss_portal.writes.write_handler import WriteHandler

FEATURES = (
    accounts,
    openid,
    device_sign_in,
    services,
    tickets,
    resumable,
    sending,
    providers,
    admin,
    dead_letters,
    attachments,
    openapi,
    result_links,
    pages,
    health,
)


def create_app(settings: Settings, broker: Broker) -> Quart:
    """Build the portal's Quart application.  It connects to the database and to ``broker`` when it starts to serve."""
    quart_patch.install()
    app = Quart("dss_portal", template_folder="pages/templates", static_folder="pages/static")
    werkzeug_patch.install(app)
    components = Components.build(settings, broker)
    context.install(app, components)
    asgi.install(app)
    converters.install(app)
    errors.install(app)
    ranges.install(app)
    sessions.install(app, settings)
    for feature in FEATURES:
        app.register_blueprint(feature.blueprint)
    app.register_blueprint(resumable.provider_blueprint)
    app.context_processor(lambda: {"has_issuer": bool(settings.oidc_issuer)})
    tracing.install(app)
    metering.install(app)
    writes.install(app)
    lifespan.install(app, components)
    return app


def served(app: Quart, *, framework: App | None = None, feed: Feed | None = None) -> App:
    """The ASGI application that a server runs.  It normalises paths, answers polls (the requests that open ITK-SNAP
    dialogs repeat) and small writes itself, and passes all other requests to ``app``.  In test mode it passes all
    requests to ``app``.

    A test may pass another ASGI application as ``framework`` in place of ``app``, and another ``feed`` than the
    portal's.
    """
    components = context.components_of(app)
    settings = components.settings
    wrapped: App = FrameworkGuard(framework or app)
    if settings.test_mode == "off":  # in test mode, requests without a cookie have a user, too
        wrapped = _with_layers(app, components, wrapped, feed or components.feed)
    return asgi.NormalisedPaths(wrapped, settings.public_prefix)


def _with_layers(app: Quart, components: Components, wrapped: App, feed: Feed) -> Polls:
    """Put two layers in front of the application ``wrapped``, and return the outer one.  It answers polls; the other
    one answers small writes.
    """
    (auth,) = app.extensions["QUART_AUTH"]
    callers = Callers(auth.cookie_name, lambda signed: auth.load_token(signed, app))
    return Polls(
        writes_layer(components, wrapped, feed, callers),
        feed=feed,
        callers=callers,
        snapshots=Snapshots(components.settings.public_url),
        datastore=components.datastore,
        limit=components.limits.requests,
        requires_terms=components.settings.require_terms,
    )


def writes_layer(components: Components, wrapped: App, feed: Feed, callers: Callers) -> Writes:
    """The layer that answers small writes and passes other requests to ``wrapped``.  ``callers`` caches the users of
    requests; a ``Polls`` with the same ``callers`` must follow ``feed``, or the cached users grow out of date.
    """
    handler = WriteHandler(
        datastore=components.datastore,
        settings=components.settings,
        feed=feed,
        claim_batcher=components.claim_batcher,
    )
    return Writes(
        wrapped,
        handler=handler,
        feed=feed,
        callers=callers,
        limit=components.limits.requests,
        requires_terms=components.settings.require_terms,
    )
