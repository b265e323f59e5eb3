"""The ORM, the driver and ``migrate`` reach a real PostgreSQL by what its address says."""

import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from os import environ
from pathlib import Path
from urllib.parse import quote, urlsplit

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tortoise.connection import get_connection

from dss_portal import database
from dss_portal.database.address import parse
from dss_portal.database.engine import arguments
from dss_stack.postgres import PostgresCluster
from dss_stack.servers import find_postgres
from support.stacks import free_port

pytestmark = [pytest.mark.stack]

ODD = "p@s:s/w#r?d%&+ '\\é"


async def asked(url: str, question: str) -> list[str]:
    """What the ORM is answered, and the driver alone."""
    async with database.connected(url):
        rows = await get_connection("default").execute_query_dict(question)
    connection = await asyncpg.connect(**await arguments(parse(url)))
    try:
        return [str(next(iter(rows[0].values()))), str(await connection.fetchval(question))]
    finally:
        await connection.close()


def migrate(environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "dss_portal", "migrate"]
    plain = {k: value for k, value in environ.items() if not k.startswith("DSS_")}
    return subprocess.run(
        command, env={**plain, **environment}, capture_output=True, encoding="utf-8", check=False
    )


@pytest.mark.parametrize(
    ("query", "question", "answer"),
    [
        ("sslmode=disable", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", "False"),
        ("sslmode=prefer&connect_timeout=5", "SELECT 1", "1"),
        ("application_name=portal%201", "SHOW application_name", "portal 1"),
        ("options=-c%20work_mem%3D7MB", "SHOW work_mem", "7MB"),
        ("target_session_attrs=read-write", "SELECT 1", "1"),
    ],
)
async def test_what_stands_behind_the_question_mark_counts(
    database_url: str, query: str, question: str, answer: str
) -> None:
    assert await asked(f"{database_url}?{query}", question) == [answer, answer]


async def test_of_several_hosts_the_first_that_answers_is_taken(database_url: str) -> None:
    there = urlsplit(database_url)
    hosts = f"127.0.0.1:{free_port()},{there.hostname}:{there.port}"
    url = database_url.replace(f"{there.hostname}:{there.port}", hosts)

    assert await asked(f"{url}?target_session_attrs=primary", "SELECT 1") == ["1", "1"]


async def test_pairs_of_names_and_values_are_an_address_too(database_url: str) -> None:
    there = urlsplit(database_url)
    pairs = (
        f"host={there.hostname} port={there.port} user={there.username} password={there.password}"
    )

    assert await asked(f"{pairs} dbname={there.path[1:]}", "SELECT 1") == ["1", "1"]


@pytest.fixture
async def odd_user(database_url: str) -> AsyncIterator[str]:
    """The name of a user of the server whose password is ODD."""
    connection = await asyncpg.connect(database_url)
    await connection.execute('CREATE ROLE "o\'d@d" LOGIN SUPERUSER PASSWORD ' + f"$${ODD}$$")
    yield "o'd@d"
    await connection.execute('DROP ROLE "o\'d@d"')
    await connection.close()


async def test_passwords_with_odd_characters_and_the_old_names_reach_the_server(
    database_url: str, odd_user: str
) -> None:
    there = urlsplit(database_url)
    login = f"{quote(odd_user, safe='')}:{quote(ODD, safe='')}"
    url = f"postgresql://{login}@{there.hostname}:{there.port}{there.path}"
    old = {
        "POSTGRES_PORT_5432_TCP_ADDR": str(there.hostname),
        "POSTGRES_PORT_5432_TCP_PORT": str(there.port),
        "ITK_SNAP_SERVER_DATABASE_USERNAME": odd_user,
        "ITK_SNAP_SERVER_DATABASE_PASSWORD": ODD,
        "ITK_SNAP_SERVER_DATABASE_NAME": there.path[1:],
    }

    assert await asked(url, "SELECT current_user") == [odd_user, odd_user]
    for environment in ({"DSS_DATABASE_URL": url}, old):
        done = migrate(environment)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_command_names_what_it_cannot_honour_and_shows_no_password(database_url: str) -> None:
    password = urlsplit(database_url).password

    done = migrate({"DSS_DATABASE_URL": f"{database_url}?pgbouncer=true"})

    assert done.returncode == 2
    assert "'pgbouncer'" in done.stderr
    assert str(password) not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
async def encrypting(
    postgres: PostgresCluster, database_url: str, tmp_path: Path
) -> AsyncIterator[Path]:
    """The server encrypts; the file with the certificate that it shows."""
    certificate = tmp_path / "server.pem"
    _write_certificate(certificate, tmp_path / "server.key")
    connection = await asyncpg.connect(database_url)
    folder = Path(str(await connection.fetchval("SHOW data_directory")))
    for name in ("server.pem", "server.key"):
        await connection.execute(
            f"COPY (SELECT 1) TO PROGRAM 'cat > {name} && chmod 600 {name}'"  # owned by the server
        )
        (folder / name).write_bytes((tmp_path / name).read_bytes())
    await _configure(connection, ssl="on", ssl_cert_file="server.pem", ssl_key_file="server.key")
    yield certificate
    await _configure(connection, ssl="off", ssl_cert_file="server.crt", ssl_key_file="server.key")
    await connection.close()


async def _configure(connection: asyncpg.Connection, **settings: str) -> None:
    for name, value in settings.items():
        await connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    await connection.execute("SELECT pg_reload_conf()")
    while (
        await connection.fetchval("SELECT setting FROM pg_settings WHERE name = 'ssl'")
        != (settings["ssl"])
    ):
        pass


def _write_certificate(certificate: Path, key_file: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "postgres")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    pkcs8 = serialization.PrivateFormat.PKCS8
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, plain))


async def test_a_server_is_trusted_by_the_certificate_that_the_address_names(
    database_url: str, encrypting: Path, tmp_path: Path
) -> None:
    question = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    other = tmp_path / "other.pem"
    _write_certificate(other, tmp_path / "other.key")

    for query in (
        "sslmode=require",
        f"sslmode=verify-full&sslrootcert={quote(str(encrypting))}",
        "ssl=true",
    ):
        assert await asked(f"{database_url}?{query}", question) == ["True", "True"]
    with pytest.raises(Exception) as refused:  # noqa: PT011 - whichever the ORM makes of it
        await asked(f"{database_url}?sslmode=verify-full&sslrootcert={quote(str(other))}", question)
    assert database.is_away(refused.value)  # the certificate may be mended while the portal runs


def test_the_password_of_a_key_reaches_postgresql_s_programs(
    database_url: str, postgres: PostgresCluster, encrypting: Path, tmp_path: Path
) -> None:
    """The option sslpassword, for which libpq has no variable."""
    pair = load_pem_private_key((tmp_path / "server.key").read_bytes(), password=None)
    locked = tmp_path / "locked.key"
    pkcs8, hidden = (
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"w#rd"),
    )
    locked.write_bytes(pair.private_bytes(serialization.Encoding.PEM, pkcs8, hidden))
    locked.chmod(0o600)
    files = f"sslmode=require&sslcert={quote(str(encrypting))}&sslkey={quote(str(locked))}"
    programs = find_postgres(postgres.sysroot)
    words = [sys.executable, "-m", "dss_portal", "with-database", str(programs.path("psql"))]

    done = subprocess.run(
        [*words, "--no-password", "--tuples-only", "--command", "SELECT 7"],
        env={
            **environ,
            **programs.environment,
            "DSS_DATABASE_URL": f"{database_url}?{files}&sslpassword=w%23rd&maxsize=2",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert (done.returncode, done.stdout.strip()) == (0, "7"), done.stderr


@pytest.mark.parametrize(
    "where",
    [
        "postgresql://u:p@localhost:{port}/d",  # two addresses, each with an error of its own
        "postgresql://u:p@127.0.0.1:{port},127.0.0.1:{port}/d",
        "postgresql://u:p@/d?host={folder}&port={port}",
        "postgresql://u:p@nowhere.invalid:{port}/d",
    ],
)
async def test_a_server_that_is_not_there_is_away_however_it_is_named(
    where: str, tmp_path: Path
) -> None:
    url = where.format(port=free_port(), folder=tmp_path)

    with pytest.raises(Exception) as missing:  # noqa: PT011 - each name has an error of its own
        await asked(f"{url}{'&' if '?' in url else '?'}connect_timeout=5", "SELECT 1")

    assert database.is_away(missing.value), missing.value
