"""Explains to operators why the database cannot be used, in the log and on the command line."""

import ssl

import asyncpg

from dss_portal import database
from dss_portal.database.schema import SchemaTooNew
from dss_portal.database.server_version import ServerTooOld


def explain(error: Exception) -> str | None:
    """A sentence that says what an operator can do about a database that cannot be used; None for any other error."""
    cause = error.__cause__ or error
    match cause:
        case ServerTooOld() | SchemaTooNew():
            return str(cause)
        case _ if database.is_missing_table(cause):
            return "The database has no tables of this version of the portal: dss-portal migrate."
        case asyncpg.exceptions.ClientConfigurationError() | asyncpg.CantChangeRuntimeParamError():
            return f"DSS_DATABASE_URL cannot be used: {_first_line(cause)}."
        case (
            asyncpg.UndefinedObjectError()
            | asyncpg.InvalidParameterValueError()
            | asyncpg.PostgresSyntaxError()  # in `options`
            | asyncpg.ObjectNotInPrerequisiteStateError()  # the database accepts no connections
        ):
            return f"PostgreSQL refuses the address in DSS_DATABASE_URL: {_first_line(cause)}."
        case asyncpg.InvalidAuthorizationSpecificationError() | asyncpg.InvalidCatalogNameError():
            return f"PostgreSQL refuses the address in DSS_DATABASE_URL: {cause}."
        case asyncpg.InsufficientPrivilegeError():
            return f"PostgreSQL refuses what the user of DSS_DATABASE_URL asks for: {cause}."
        case ssl.SSLError():
            return (
                "The encrypted connection to PostgreSQL failed, with what DSS_DATABASE_URL says of "
                f"certificates: {_first_line(cause)}."
            )
        case OSError() if database.is_away(cause):
            return f"No PostgreSQL answers at DSS_DATABASE_URL: {cause.strerror or cause}."
        case _ if database.is_away(cause):
            return f"PostgreSQL cannot work now: {cause}. Try again when it can."
    return None


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0].rstrip(".")
