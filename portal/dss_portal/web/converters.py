"""URL converters that Werkzeug does not have."""

from quart import Quart
from werkzeug.routing import BaseConverter, Map


class RegexConverter(BaseConverter):
    """Matches a path segment that fits a regular expression, for rules such as ``<regex('[a-f0-9]+'):githash>``."""

    def __init__(self, url_map: Map, pattern: str) -> None:
        super().__init__(url_map)
        self.regex = pattern


def install(app: Quart) -> None:
    app.url_map.converters["regex"] = RegexConverter
