"""Parses the database's address as libpq does, for all parts of the portal that connect.

https://www.postgresql.org/docs/current/libpq-connect.html:
``postgresql://user:password@host:port,host:port/database?name=value``, or ``name=value`` pairs separated by blanks.  An
option that the portal cannot honour is refused by its name; the rest of the address is not shown, since it contains a
password.
"""

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, urlencode

from dss_broker.settings import is_host

PORT = 5432

_TLS = (
    *("sslmode", "sslnegotiation", "sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcrl"),
    *("ssl_min_protocol_version", "ssl_max_protocol_version"),
)
_FILES = ("sslcert", "sslkey", "sslrootcert", "sslcrl", "passfile")
_FOR_DRIVER = (*_TLS, "passfile", "krbsrvname", "gsslib")
"""Options of libpq that asyncpg itself reads from an address."""

_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_CHOICES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "read-write", "primary", "prefer-standby"),
    "client_encoding": ("utf8", "UTF8", "utf-8", "UTF-8", "auto"),
    "gssencmode": ("disable", "prefer"),
    "channel_binding": ("disable", "prefer"),
    "sslcompression": ("0",),
    "load_balance_hosts": ("disable",),
    "ssl_min_protocol_version": _VERSIONS,
    "ssl_max_protocol_version": _VERSIONS,
}
"""Allowed values of options; other values are invalid, or not supported by the portal."""

_LEAST = {"statement_cache_size": 0, "minsize": 0, "maxsize": 1}
_NUMBERS = ("connect_timeout", "statement_cache_size", "minsize", "maxsize")
_KNOWN = {
    *("host", "hostaddr", "port", "dbname", "user", "password", "options"),
    *("application_name", "fallback_application_name"),
    *_FOR_DRIVER,
    *_CHOICES,
    *_NUMBERS,
}

_HINT = "special characters of a user name or password are written as in %2F"
_PAIR = re.compile(r"\s*([A-Za-z_]+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)(?=\s|$)")


class AddressInvalid(ValueError):
    """The address cannot be used.  The text says what is wrong, without the address."""


@dataclass(frozen=True, kw_only=True)
class DatabaseAddress:
    """The parsed address.  ``hosts`` are names, addresses or socket folders, each with its port; if empty, libpq's
    defaults apply.

    ``statement_cache_size`` is None if it depends on whether there is a pooler.  ``pool`` is the smallest and the
    largest number of connections; ``for_driver`` are the options that asyncpg itself reads.  ``timeout_s`` limits the
    time for connecting; None is no limit.
    """

    hosts: tuple[tuple[str, int], ...] = ()
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    server_settings: dict[str, str] = field(default_factory=dict)
    timeout_s: float | None = 60.0
    target_session_attrs: str | None = None
    statement_cache_size: int | None = None
    pool: tuple[int, int] = (1, 5)
    tls: ssl.SSLContext | None = None
    for_driver: dict[str, str] = field(default_factory=dict, repr=False)

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for ``asyncpg.connect``, and for ``asyncpg.create_pool`` in addition to the pool's size."""
        found: dict[str, Any] = {
            "dsn": f"postgresql://?{urlencode(self.for_driver)}" if self.for_driver else None,
            "host": [host for host, _ in self.hosts] or None,
            "port": [port for _, port in self.hosts] or None,
            "user": self.user,
            "password": self.password,
            "database": self.database,
            "server_settings": self.server_settings or None,
            "timeout": self.timeout_s,
            "target_session_attrs": self.target_session_attrs,
            "ssl": self.tls,
            "statement_cache_size": self.statement_cache_size,
        }
        return {k: value for k, value in found.items() if value is not None or k == "timeout"}


def parse(text: str) -> DatabaseAddress:
    """Parse an address.  Raises AddressInvalid if it is malformed, has an option or a value that the portal cannot
    honour, or names a file that cannot be read.
    """
    return _address(options_in(text))


def options_in(text: str) -> dict[str, str]:
    """The options in an address, by libpq's names.  Raises AddressInvalid as ``parse`` does, but does not check hosts
    and ports.
    """
    scheme, separator, rest = text.strip().partition("://")
    is_uri = bool(separator) and scheme in {"postgres", "postgresql"}
    if separator and not is_uri and "=" not in scheme:
        _refuse("it begins with neither postgres:// nor postgresql://")
    found = _of_uri(rest) if is_uri else _of_pairs(text)
    _check(found)
    return found


def _of_uri(rest: str) -> dict[str, str]:
    """The options in a URI.  As in libpq, those after ``?`` override those before it."""
    login, at, _ = rest.partition("/")[0].rpartition("@")
    behind = rest[len(login) + len(at) :]
    before, _, query = behind.partition("?")
    hosts, _, database = before.partition("/")
    user, colon, password = login.partition(":")
    found = {"user": _decoded(user), "dbname": _decoded(database)} | _hosts_of(hosts)
    if colon:
        found["password"] = _decoded(password)
    found = {name: value for name, value in found.items() if value}
    return found | _of_query(query)


def _hosts_of(text: str) -> dict[str, str]:
    names, ports = [], []
    for part in text.split(",") if text else []:
        match = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::(\d*))?", part)
        if match is None:
            _refuse(
                f"it has a host that is no host:port ({_HINT}; an IPv6 address stands in brackets)"
            )
        names.append(_decoded(match[1].strip("[]")))
        ports.append(match[2] or "")
    return {"host": ",".join(names), "port": ",".join(ports).strip(",") and ",".join(ports)}


def _of_query(query: str) -> dict[str, str]:
    found = {}
    for part in query.split("&") if query else []:
        name, equals, value = part.partition("=")
        if not equals:
            _refuse(f"behind its question mark it has '{_decoded(name)[:40]}' without '='")
        found[_decoded(name)] = _decoded(value)
    if "ssl" in found:  # an option of JDBC, which libpq understands in part
        if found.pop("ssl") != "true":
            _refuse("it has 'ssl' with another value than true; say sslmode")
        found.setdefault("sslmode", "require")
    if "database" in found:
        found["dbname"] = found.pop("database")
    return found


def _of_pairs(text: str) -> dict[str, str]:
    found, position = {}, 0
    text = text.strip()
    while position < len(text):
        match = _PAIR.match(text, position)
        if match is None:
            _refuse(
                "it is neither postgres://user:password@host:port/database nor name=value pairs"
            )
        value = match[2]
        value = value[1:-1] if value.startswith("'") else value
        found[match[1]] = re.sub(r"\\(.)", r"\1", value)
        position = match.end()
    return found


def _decoded(text: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        _refuse(
            f"it has a % that two hexadecimal digits do not follow; {_HINT}, and % itself as %25"
        )
    if "%00" in text:
        _refuse("it has a %00, which no name or value can have")
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        _refuse("it has bytes written with % that are no UTF-8")


def _address(parameters: dict[str, str]) -> DatabaseAddress:
    settings = {k: parameters[k] for k in ("application_name", "options") if parameters.get(k)}
    if "application_name" not in settings and parameters.get("fallback_application_name"):
        settings["application_name"] = parameters["fallback_application_name"]
    numbers = {name: int(parameters[name]) for name in _NUMBERS if parameters.get(name)}
    largest = numbers.get("maxsize", max(5, numbers.get("minsize", 1)))
    smallest = numbers.get("minsize", 1)
    if smallest > largest:
        _refuse(f"minsize is {smallest}, and maxsize only {largest}")
    tls = ssl.create_default_context() if parameters.get("sslrootcert") == "system" else None
    return DatabaseAddress(
        hosts=_hosts(parameters),
        user=parameters.get("user") or None,
        password=parameters.get("password") or None,
        database=parameters.get("dbname") or None,
        server_settings=settings,
        timeout_s=_timeout_s(numbers.get("connect_timeout")),
        target_session_attrs=parameters.get("target_session_attrs") or None,
        statement_cache_size=numbers.get("statement_cache_size"),
        pool=(smallest, largest),
        tls=tls,
        for_driver={} if tls else {k: parameters[k] for k in _FOR_DRIVER if parameters.get(k)},
    )


def _check(parameters: dict[str, str]) -> None:
    unknown = sorted(parameters.keys() - _KNOWN)
    if unknown:
        names = ", ".join(f"'{name[:40]}'" for name in unknown)
        _refuse(f"the portal cannot honour {names}; it understands {', '.join(sorted(_KNOWN))}")
    for name, choices in _CHOICES.items():
        value = parameters.get(name)
        if value and value not in choices:
            _refuse(f"{name} is '{value[:40]}', and the portal can do {', '.join(choices)}")
    for name in _NUMBERS:
        if parameters.get(name) and not re.fullmatch(r"-?\d{1,9}", parameters[name]):
            _refuse(f"{name} is '{parameters[name][:40]}', and a whole number is needed")
        if parameters.get(name) and int(parameters[name]) < _LEAST.get(name, -(10**9)):
            _refuse(f"{name} is {parameters[name]}, and at least {_LEAST[name]} is needed")
    for name in _FILES:
        _check_file(name, parameters.get(name, ""))
    if parameters.get("sslrootcert") == "system" and parameters.get("sslmode") != "verify-full":
        _refuse("sslrootcert=system needs sslmode=verify-full")
    if parameters.get("hostaddr") and parameters.get("host"):
        _refuse("it has both host and hostaddr; the portal connects to one of them only")


def _check_file(name: str, value: str) -> None:
    if not value or (name == "sslrootcert" and value == "system"):
        return
    try:
        with Path(value).open("rb"):
            return
    except OSError as error:
        _refuse(f"{name} names a file that cannot be read ({error.strerror})")


def _hosts(parameters: dict[str, str]) -> tuple[tuple[str, int], ...]:
    names = (parameters.get("host") or parameters.get("hostaddr") or "").split(",")
    ports = [_port(port) for port in (parameters.get("port") or "").split(",")]
    if len(ports) == 1:
        ports *= len(names)
    if len(ports) != len(names):
        _refuse(f"it has {len(names)} hosts and {len(ports)} ports")
    for name in names:
        if name and name[0] not in "/@" and not is_host(name):
            _refuse(f"it has a host '{name[:40]}', which is no name of one")
    if names == [""]:
        return () if ports == [PORT] else (("localhost", ports[0]),)
    return tuple((name or "localhost", port) for name, port in zip(names, ports, strict=True))


def _port(text: str) -> int:
    if not text:
        return PORT
    if not text.isdecimal() or not 0 < int(text) < 65536:
        _refuse(f"a port is '{text[:40]}', and a number from 1 to 65535 is needed")
    return int(text)


def _timeout_s(seconds: int | None) -> float | None:
    """The time limit for connecting in seconds, as libpq interprets ``seconds``: no limit (None) for 0 and less,
    otherwise at least two seconds.  If ``seconds`` is None, the default of 60 s.
    """
    if seconds is None:
        return DatabaseAddress.timeout_s
    return None if seconds <= 0 else float(max(2, seconds))


def _refuse(why: str) -> NoReturn:
    raise AddressInvalid(f"The database's address cannot be used: {why}.")
