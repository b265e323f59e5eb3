"""The date of a certificate, read from a real TLS server."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from prometheus_client import REGISTRY

from dss_portal import certificates

EXPIRY = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)


def self_signed(folder: Path) -> Path:
    """A certificate, expired since EXPIRY, and its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    built = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    built = built.not_valid_before(EXPIRY - timedelta(days=1)).not_valid_after(EXPIRY)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (folder / "server.pem").write_bytes(private + public)
    return folder / "server.pem"


@pytest.fixture
async def tls_port(tmp_path: Path) -> AsyncIterator[int]:
    """Of a server that says nothing after the handshake."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(self_signed(tmp_path))
    server = await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


def expiry_of(server: str) -> float | None:
    return REGISTRY.get_sample_value("dss_certificate_expiry_timestamp_seconds", {"server": server})


async def test_an_expired_certificate_has_its_date_too(tls_port: int) -> None:
    assert await asyncio.to_thread(certificates.expires_at, "127.0.0.1", tls_port) == (
        EXPIRY.timestamp()
    )


async def test_what_is_encrypted_is_looked_at_and_the_rest_is_not(tls_port: int) -> None:
    watching = asyncio.create_task(
        certificates.watch(looked=f"https://127.0.0.1:{tls_port}/dss", plain="amqp://127.0.0.1/")
    )

    for _ in range(100):
        await asyncio.sleep(0.05)
        if expiry_of("looked") is not None:
            break
    watching.cancel()

    assert expiry_of("looked") == EXPIRY.timestamp()
    assert expiry_of("plain") is None


async def test_a_server_that_is_away_is_no_error() -> None:
    certificates._set_expiry("away", "127.0.0.1", 1)

    assert expiry_of("away") is None
