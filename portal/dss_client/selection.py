"""Chooses a service by its name or hash."""

import re
from collections.abc import Sequence

from dss_client.errors import ServiceUnfit
from dss_client.records import ServiceRow


def choose_service(rows: Sequence[ServiceRow], wanted: str) -> ServiceRow:
    """The service with the hash ``wanted``, or else the newest one with that name.  Raises ServiceUnfit if there is
    none.
    """
    found = [row for row in rows if wanted in {row.githash, row.name}]
    if found:
        return max(found, key=lambda row: _release(row.version))
    offered = ", ".join(sorted({row.name for row in rows})) or "nothing"
    raise ServiceUnfit(f"There is no service '{wanted}'; the server offers {offered}.")


def _release(version: str) -> tuple[int, ...]:
    """The sort key of a version, as on the server: its three numbers, with 0 for each missing one."""
    parts = [*version.split("."), "", "", ""][:3]
    return tuple(int(part) if re.fullmatch("[0-9]+", part) else 0 for part in parts)
