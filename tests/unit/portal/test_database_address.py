"""The database's address means what libpq's manual says, or is refused by the name that cannot be honoured."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dss_portal.database.address import AddressInvalid, DatabaseAddress, parse
from dss_portal.legacy_settings import renamed
from dss_portal.settings import DatabaseSettings

HOST = {"hosts": (("h", 5432),)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgres://u:p@h:6432/d", {"user": "u", "password": "p", "hosts": (("h", 6432),)}),
        ("postgresql://h/d", HOST),
        ("postgresql://h/d?sslmode=require", HOST | {"for_driver": {"sslmode": "require"}}),
        ("postgresql://h/d?connect_timeout=7", HOST | {"timeout_s": 7.0}),
        ("postgresql://h/d?connect_timeout=1", HOST | {"timeout_s": 2.0}),
        ("postgresql://h/d?connect_timeout=0", HOST | {"timeout_s": None}),
        (
            "postgresql://h/d?application_name=a%20b&options=-c%20work_mem%3D8MB",
            HOST | {"server_settings": {"application_name": "a b", "options": "-c work_mem=8MB"}},
        ),
        (
            "postgresql://h/d?fallback_application_name=f",
            HOST | {"server_settings": {"application_name": "f"}},
        ),
        (
            "postgresql://h/d?target_session_attrs=read-write",
            HOST | {"target_session_attrs": "read-write"},
        ),
        ("postgresql:///d?host=/run/pg", {"hosts": (("/run/pg", 5432),)}),
        ("postgresql://%2Frun%2Fpg:5433/d", {"hosts": (("/run/pg", 5433),)}),
        ("postgresql://a,b:6,c/d", {"hosts": (("a", 5432), ("b", 6), ("c", 5432))}),
        ("postgresql:///d?host=a,b&port=6,7", {"hosts": (("a", 6), ("b", 7))}),
        ("postgresql:///d?host=a,b&port=6", {"hosts": (("a", 6), ("b", 6))}),
        ("postgresql:///d?hostaddr=10.0.0.1", {"hosts": (("10.0.0.1", 5432),)}),
        ("postgresql://[::1]:6/d", {"hosts": (("::1", 6),)}),
        ("postgresql://[fd00::1],[::1]:6/d", {"hosts": (("fd00::1", 5432), ("::1", 6))}),
        ("postgresql:///d", {}),
        ("postgresql:///d?port=6", {"hosts": (("localhost", 6),)}),
        ("postgresql://h/e?dbname=d", HOST),
        ("postgresql://h/e?database=d", HOST),
        ("postgresql://h/d?user=u&password=p", HOST | {"user": "u", "password": "p"}),
        ("postgresql://h/d?statement_cache_size=0", HOST | {"statement_cache_size": 0}),
        ("postgresql://h/d?minsize=2&maxsize=9", HOST | {"pool": (2, 9)}),
        ("postgresql://h/d?ssl=true", HOST | {"for_driver": {"sslmode": "require"}}),
        ("postgresql://h/d?gssencmode=disable&channel_binding=prefer", HOST),
        ("postgresql://u:@h/d?sslmode=", HOST | {"user": "u"}),
        ("host=h dbname=d user=u", HOST | {"user": "u"}),
        (r"host=h dbname = d password='a b\'c\\'", HOST | {"password": r"a b'c" + "\\"}),
        ("host=/run/pg port=6 dbname=d", {"hosts": (("/run/pg", 6),)}),
        ("\n postgresql://h/d \n", HOST),
    ],
)
def test_an_address_means_what_libpq_says(text: str, expected: dict[str, Any]) -> None:
    assert parse(text) == DatabaseAddress(database="d", **expected)


@pytest.mark.parametrize(
    "written",
    ["p%40s%3As%2Fw%23r%3Fd%25%26+", "p@s:s%2Fw#r?d%25&+", "p%40s:s%2Fw#r%3Fd%25&+"],
)
def test_a_password_with_odd_characters_is_taken_as_it_was_meant(written: str) -> None:
    found = parse(f"postgresql://us%40er:{written}@h/d?sslmode=disable")

    assert (found.user, found.password) == ("us@er", "p@s:s/w#r?d%&+")
    assert (found.hosts, found.database) == ((("h", 5432),), "d")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mysql://h/d", "neither postgres:// nor postgresql://"),
        ("postgresql+asyncpg://h/d", "neither postgres:// nor postgresql://"),
        ("here", "neither postgres://user:password@host:port/database nor name=value"),
        ("postgresql://h/d?pgbouncer=true", "'pgbouncer'"),
        ("postgresql://h/d?schema=a&conect_timeout=3", "'conect_timeout', 'schema'"),
        ("postgresql://h/d?sslmode=on", "sslmode is 'on'"),
        ("postgresql://h/d?connect_timeout=5s", "connect_timeout is '5s'"),
        ("postgresql://h/d?target_session_attrs=standby", "target_session_attrs is 'standby'"),
        ("postgresql://h/d?channel_binding=require", "channel_binding is 'require'"),
        ("postgresql://h/d?client_encoding=latin1", "client_encoding is 'latin1'"),
        ("postgresql://h/d?sslrootcert=/none/ca.pem", "sslrootcert names a file"),
        ("postgresql://h/d?sslrootcert=system", "needs sslmode=verify-full"),
        ("postgresql://h/d?sslmode", "'sslmode' without '='"),
        ("postgresql://h:port/d", "special characters"),
        ("postgresql://h:70000/d", "a number from 1 to 65535"),
        ("postgresql://a,b,c:1/d?port=1,2", "3 hosts and 2 ports"),
        ("postgresql://::1:5432/d", "in brackets"),
        ("postgresql://u:se%zzcret@h/d", "%25"),
        ("postgresql://h/d?host=a&hostaddr=b", "both host and hostaddr"),
        ("postgresql://u:se/cret@h/d", "special characters"),
        ("postgresql://h/d?minsize=-1", "minsize is -1, and at least 0 is needed"),
        ("postgresql://h/d?maxsize=0", "maxsize is 0, and at least 1 is needed"),
        ("postgresql://h/d?minsize=9&maxsize=2", "minsize is 9, and maxsize only 2"),
        ("postgresql://h/d?statement_cache_size=-1", "statement_cache_size is -1"),
        ("postgresql://h/d?ssl_min_protocol_version=TLSv9", "ssl_min_protocol_version is 'TLSv9'"),
        ("postgresql://u:cret%ff@h/d", "no UTF-8"),
        ("postgresql://u:cret%00@h/d", "%00"),
    ],
)
def test_what_cannot_be_honoured_is_named_and_the_password_is_not(text: str, said: str) -> None:
    with pytest.raises(AddressInvalid) as refused:
        parse(text)

    assert said in str(refused.value)
    assert "cret" not in str(refused.value)


def test_certificates_of_the_system_are_trusted_if_asked() -> None:
    found = parse("postgresql://h/d?sslmode=verify-full&sslrootcert=system")

    assert found.tls is not None
    assert found.tls.check_hostname


def test_files_for_encryption_reach_the_driver(tmp_path: Path) -> None:
    ca = tmp_path / "a b&c.pem"
    ca.write_text("x", encoding="utf-8")

    found = parse(f"host=h dbname=d sslmode=verify-ca sslrootcert='{ca}'").arguments()

    assert found["dsn"].count("&") == 1
    assert "a+b%26c.pem" in found["dsn"]


def test_a_password_shows_in_no_log() -> None:
    assert "secret" not in repr(parse("postgresql://u:secret@h/d?sslpassword=secret"))


def test_settings_refuse_what_cannot_be_honoured_without_the_password() -> None:
    with pytest.raises(ValidationError) as refused:
        DatabaseSettings(database_url="postgresql://u:secret@h/d?pgbouncer=true")

    assert "'pgbouncer'" in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "hosts"),
    [
        ("db", (("db", 5433),)),
        ("::1", (("::1", 5433),)),
        ("[::1]", (("::1", 5433),)),
        ("/run/postgresql", (("/run/postgresql", 5433),)),
    ],
)
def test_the_old_names_lead_to_the_same_address(host: str, hosts: tuple[tuple[str, int]]) -> None:
    old = {
        "POSTGRES_PORT_5432_TCP_ADDR": host,
        "POSTGRES_PORT_5432_TCP_PORT": "5433",
        "ITK_SNAP_SERVER_DATABASE_USERNAME": "us@er",
        "ITK_SNAP_SERVER_DATABASE_PASSWORD": "p@s:s/w#r?d%&+",
        "ITK_SNAP_SERVER_DATABASE_NAME": "d b",
    }

    found = parse(renamed(old)["DSS_DATABASE_URL"])

    assert found == DatabaseAddress(
        hosts=hosts, user="us@er", password="p@s:s/w#r?d%&+", database="d b"
    )
