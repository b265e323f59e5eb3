"""Hands the database's address to PostgreSQL's own programs, such as pg_dump.

They refuse an address with options that are the portal's alone, such as ``maxsize``.  Environment variables also keep
the password out of the list of processes.

Facts: https://www.postgresql.org/docs/current/libpq-envars.html and libpq-pgservice.html.
"""

import os
from collections.abc import Mapping

from dss_portal.database.address import options_in, parse

_VARIABLES = {
    **{name: f"PG{name.upper()}" for name in ("user", "password", "passfile", "options")},
    **{name: f"PG{name.upper()}" for name in ("sslmode", "sslnegotiation", "gssencmode")},
    **{name: f"PG{name.upper()}" for name in ("sslcert", "sslkey", "sslrootcert", "sslcrl")},
    **{name: f"PG{name.upper()}" for name in ("krbsrvname", "gsslib")},
    "dbname": "PGDATABASE",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "channel_binding": "PGCHANNELBINDING",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
}
"""Options and their variables.  Not among them are ``application_name``, because the programs have names of their own;
``client_encoding``, which decides how a backup is written; and options that change nothing, or are the portal's alone.
"""
_SERVICE = "dss"


def environment_for(url: str, environment: Mapping[str, str]) -> dict[str, str]:
    """``environment`` with the variables by which a program of PostgreSQL connects as the portal does.  Raises
    AddressInvalid.

    It may name a file in memory, which a program sees only if it is executed in place of this process.
    """
    given = options_in(url)
    found = {k: v for k, v in environment.items() if k != "PGSERVICE"}  # it would go before all
    found |= {variable: given[k] for k, variable in _VARIABLES.items() if given.get(k)}
    if hosts := parse(url).hosts:
        found["PGHOST"] = ",".join(host for host, _ in hosts)
        found["PGPORT"] = ",".join(str(port) for _, port in hosts)
    if password := given.get("sslpassword"):
        found |= {"PGSERVICE": _SERVICE, "PGSERVICEFILE": _file_in_memory(password)}
    return found


def _file_in_memory(key_password: str) -> str:
    """The path of a service file with the option that has no variable, which is never on a disk."""
    file = os.memfd_create(_SERVICE, 0)
    os.write(file, f"[{_SERVICE}]\nsslpassword={key_password}\n".encode())
    return f"/proc/self/fd/{file}"
