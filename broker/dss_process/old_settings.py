"""Refuses settings of the old server that have no effect here.  Old names that still work are read elsewhere."""

import sys
from collections.abc import Mapping
from typing import NamedTuple


class Successor(NamedTuple):
    """The name of the setting that replaces an old one, and a sentence that tells the operator what to do (``why``)."""

    setting: str
    why: str


SUCCESSORS = {
    "ALFABIS_GOOGLE_CLIENTSECRET": Successor(
        "DSS_OIDC_ISSUER",
        "Set it to google, and DSS_OIDC_CLIENT_ID and DSS_OIDC_CLIENT_SECRET to what that file holds.",
    ),
    "ALFABIS_SQLITE_PATH": Successor("DSS_DATABASE_URL", "Tickets are in PostgreSQL."),
    "ALFABIS_COOKIE_DOMAIN": Successor(
        "DSS_PUBLIC_URL", "Cookies belong to the host that is named there."
    ),
}
"""The successor of each setting of the old server that has no effect here, by its old name."""


def refuse_old_settings(
    environment: Mapping[str, str], successors: Mapping[str, Successor] = SUCCESSORS
) -> None:
    """Exit with a sentence for each name of ``successors`` that is set while its successor is not.

    An old setting is ignored if its successor is set too, so one file of variables can be used for both servers.
    """
    sentences = [
        f"{old} is a setting of the old server.  {new.setting} replaces it.  {new.why}"
        for old, new in successors.items()
        if environment.get(old) and not environment.get(new.setting)
    ]
    if sentences:
        sys.exit("\n".join(sentences))
