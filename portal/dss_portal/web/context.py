"""Gives requests access to the portal's components."""

from quart import Quart, current_app

from dss_portal.components import Components

_KEY = "dss"


def install(app: Quart, components: Components) -> None:
    """Attach the components to the app.  Earlier ones are replaced."""
    app.extensions[_KEY] = components


def components_of(app: Quart) -> Components:
    found: Components = app.extensions[_KEY]
    return found


def components() -> Components:
    """The components of the app that serves the current request."""
    found: Components = current_app.extensions[_KEY]
    return found
