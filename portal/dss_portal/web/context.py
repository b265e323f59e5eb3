"""The portal's components, as requests reach them."""

from quart import Quart, current_app

from dss_portal.components import Components

_KEY = "dss"


def install(app: Quart, components: Components) -> None:
    """Replaces components that were installed before."""
    app.extensions[_KEY] = components


def components_of(app: Quart) -> Components:
    found: Components = app.extensions[_KEY]
    return found


def components() -> Components:
    """The components of the app that serves the current request."""
    found: Components = current_app.extensions[_KEY]
    return found
