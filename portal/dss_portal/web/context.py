"""Gives the code of a request access to the portal's components (datastore, settings, broker and others)."""

from quart import Quart, current_app

from dss_portal.components import Components

_KEY = "dss"


def install(app: Quart, components: Components) -> None:
    """Attach the components to the app, in place of any earlier ones."""
    app.extensions[_KEY] = components


def components_of(app: Quart) -> Components:
    found: Components = app.extensions[_KEY]
    return found


def components() -> Components:
    """The components of the app that serves the current request."""
    found: Components = current_app.extensions[_KEY]
    return found
