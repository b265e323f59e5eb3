"""What ``dss-portal`` says when its settings or its servers are not as it needs them."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from dss_stack.postgres import PostgresCluster
from support.databases import make_database
from support.portal_commands import portal_commands

WHOLE = {
    "DSS_DATABASE_URL": "postgres://someone:hidden@127.0.0.1:1/dss",
    "DSS_AMQP_URL": "amqp://someone:hidden@127.0.0.1:1/",
    "DSS_SECRET_KEY": "k" * 32,
}


def said(*words: str, **changes: str) -> str:
    """The last words of a program that ends with 2, in one line for each fault."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        env=environment(changes),
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )
    return judged(done.returncode, done.stdout, done.stderr)


def portal(*words: str, **changes: str) -> str:
    """The same of a command of ``dss-portal``."""
    with pytest.raises(subprocess.CalledProcessError) as ended:
        portal_commands().run(words, environment(changes))
    return judged(ended.value.returncode, ended.value.stdout, ended.value.stderr)


def environment(changes: Mapping[str, str]) -> dict[str, str]:
    others = {k: v for k, v in os.environ.items() if not k.startswith("DSS_")}
    return others | WHOLE | dict(changes)


def judged(status: int, printed: str, complained: str) -> str:
    assert status == 2, printed + complained
    assert "Traceback" not in complained
    assert "hidden" not in complained
    return complained.strip()


@pytest.fixture
def empty_database(postgres: PostgresCluster) -> str:
    return make_database(postgres.database_url, "empty")


@pytest.mark.parametrize("words", [["users", "list"], ["tokens", "list"]])
def test_a_database_that_is_away_is_one_sentence(words: list[str]) -> None:
    sentence = said("dss_portal", *words)

    assert len(sentence.splitlines()) == 1
    assert "No PostgreSQL answers at DSS_DATABASE_URL" in sentence


def test_a_database_without_tables_is_one_sentence(empty_database: str) -> None:
    sentence = portal("users", "list", DSS_DATABASE_URL=empty_database)

    assert sentence.endswith("dss-portal migrate.")


def test_a_database_that_is_not_there_is_one_sentence(postgres: PostgresCluster) -> None:
    absent = f"{postgres.database_url.rpartition('/')[0]}/absent"

    sentence = portal("users", "list", DSS_DATABASE_URL=absent)

    assert 'database "absent" does not exist' in sentence


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("sslmode=verify-full", "root certificate file"),
        ("sslnegotiation=direct", "direct TLS requires sslmode"),
        ("sslmode=require&sslcert={file}", "The encrypted connection to PostgreSQL failed"),
        ("sslmode=verify-ca&sslrootcert={file}", "The encrypted connection to PostgreSQL failed"),
        ("options=-c%20nonsense%3D1", 'unrecognized configuration parameter "nonsense"'),
        ("options=nonsense", "invalid command-line argument for server process: nonsense"),
        ("options=-c%20max_connections%3D5", '"max_connections" cannot be changed'),
        ("dbname=template0", '"template0" is not currently accepting connections'),
    ],
)
def test_an_address_that_server_or_driver_refuse_is_one_sentence(
    tmp_path: Path, postgres: PostgresCluster, query: str, sentence: str
) -> None:
    (file := tmp_path / "no.pem").write_text("no certificate", encoding="utf-8")
    address = f"{postgres.database_url}?{query.format(file=file)}"

    told = portal("users", "list", DSS_DATABASE_URL=address, HOME=str(tmp_path))

    assert len(told.splitlines()) == 1
    assert sentence in told


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"DSS_OIDC_ISSUER": "google"},
            "DSS_OIDC_CLIENT_ID and DSS_OIDC_CLIENT_SECRET must be set too",
        ),
        ({"DSS_OIDC_CLIENT_SECRET": "x"}, "DSS_OIDC_ISSUER and DSS_OIDC_CLIENT_ID must be set too"),
        ({"DSS_PUBLIC_URL": "dss.example"}, "'dss.example' is no address"),
        ({"DSS_BIND": "8080"}, "DSS_BIND: '8080' is not host:port"),
        ({"DSS_METRICS_BIND": "localhost:http"}, "DSS_METRICS_BIND: 'localhost:http' is not host"),
        ({"DSS_AMQP_URL": "rabbit.example:5672"}, "DSS_AMQP_URL: an address like amqp://"),
        ({"DSS_AMQP_URL": "amqp://u:hidden@h:x/"}, "DSS_AMQP_URL: an address like amqp://"),
        ({"DSS_AMQP_URL": "amqp://one/,two:5672/"}, "DSS_AMQP_URL: an address like amqp://"),
        ({"DSS_AMQP_URL": "amqp://user@one/"}, "DSS_AMQP_URL: an address like amqp://"),
        ({"DSS_AMQP_URL": "amqp://u:p@one/?heartbeat=soon"}, "it has a 'heartbeat' behind"),
        ({"DSS_AMQP_URL": "amqp://u:p@one/,amqp://u:p@two/?cafile=/c"}, "it has a 'cafile' behind"),
        ({"DSS_AMQP_URL": "amqp://one/?heartbeat=5&heartbeat=6"}, "it says 'heartbeat' twice"),
        ({"DSS_GIT_CA_FILE": "/none/ca.pem"}, "DSS_GIT_CA_FILE: there is no file /none/ca.pem"),
        (
            {"DSS_OIDC_ISSUER": "idp", "DSS_OIDC_CLIENT_ID": "x", "DSS_OIDC_CLIENT_SECRET": "y"},
            "DSS_OIDC_ISSUER: 'idp' is neither google nor an address",
        ),
        ({"DSS_INSTANCE": "a\nb"}, "DSS_INSTANCE: a name without line breaks"),
        ({"DSS_DATASTORE": ""}, "DSS_DATASTORE: "),
        ({"DSS_TRUSTED_PROXIES": "proxy.example"}, "DSS_TRUSTED_PROXIES: 'proxy.example' is"),
    ],
)
def test_a_wrong_setting_is_one_sentence(
    tmp_path: Path, changes: dict[str, str], sentence: str
) -> None:
    told = portal("serve", **{"DSS_DATASTORE": str(tmp_path), **changes})

    assert len(told.splitlines()) == 1
    assert sentence in told


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path, empty_database: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        told = portal(
            "serve", DSS_DATASTORE=str(tmp_path), DSS_BIND=bind, DSS_DATABASE_URL=empty_database
        )

    assert f"DSS_BIND: {bind} cannot be listened on (Address already in use)" in told


@pytest.mark.parametrize("program", ["dss_dispatch", "dss_inference", "check-results"])
def test_the_other_programs_tell_a_taken_port_the_same_way(tmp_path: Path, program: str) -> None:
    words = {
        "dss_dispatch": ["dss_dispatch", "serve", "lung-segmentation"],
        "dss_inference": ["dss_inference", "serve", "--bundle", "lung-segmentation"],
        "check-results": ["dss_dispatch", "check-results"],
    }
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        told = said(*words[program], DSS_DATASTORE=str(tmp_path), DSS_METRICS_BIND=bind)

    assert f"DSS_METRICS_BIND: {bind} cannot be listened on (Address already in use)" in told
