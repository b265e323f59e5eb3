"""Translates the environment variables of the older servers (ITK-SNAP's DSS server and its forerunner ALFABIS) into
``DSS_*`` settings.
"""

from collections.abc import Mapping
from urllib.parse import quote


def renamed(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings that ``environment`` contains under old names, by their new names."""
    found: dict[str, str] = {}
    host = environment.get("POSTGRES_PORT_5432_TCP_ADDR")
    if host:
        found["DSS_DATABASE_URL"] = _database_url(host, environment)
    if "ITK_SNAP_SERVER_NOAUTH" in environment or "ALFABIS_NOAUTH" in environment:
        found["DSS_TEST_MODE"] = "loopback"
    if "SERVER_URL" in environment:
        found["DSS_PUBLIC_URL"] = environment["SERVER_URL"]
    if "ALFABIS_DATASTORE_ROOT" in environment:
        found["DSS_DATASTORE"] = environment["ALFABIS_DATASTORE_ROOT"]
    return found


def _database_url(host: str, environment: Mapping[str, str]) -> str:
    def old(name: str, default: str) -> str:
        for prefix in ("ITK_SNAP_SERVER_DATABASE", "ALFABIS_DATABASE"):
            if f"{prefix}_{name}" in environment:
                return quote(environment[f"{prefix}_{name}"], safe="")
        return default

    port = environment.get("POSTGRES_PORT_5432_TCP_PORT", "5432")
    user, password = old("USERNAME", "admin_user"), old("PASSWORD", "")
    secret = f":{password}" if password else ""
    return f"postgres://{user}{secret}@{_in_address(host)}:{port}/{old('NAME', 'admin_db')}"


def _in_address(host: str) -> str:
    """``host`` as it is written in a URL: an IPv6 address in brackets, the folder of a Unix socket percent-encoded."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else quote(host, safe="[]:,")
