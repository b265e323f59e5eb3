"""Measures when the certificates of the portal's public address and of the broker will expire."""

import asyncio
import logging
import ssl
from urllib.parse import urlsplit

from cryptography import x509

from dss_observability import metrics

log = logging.getLogger(__name__)

PERIOD_S = 3600.0
TIMEOUT_S = 10.0
_PORTS = {"https": 443, "amqps": 5671}


async def watch(**addresses: str) -> None:
    """Set a gauge for each of the ``addresses`` that uses TLS to the time at which its certificate expires; again every
    PERIOD_S until cancelled.  The names of the arguments are the gauge's labels.
    """
    servers = {name: urlsplit(address) for name, address in addresses.items()}
    while True:
        for name, url in servers.items():
            if url.scheme in _PORTS and url.hostname:
                port = url.port or _PORTS[url.scheme]
                await asyncio.to_thread(_set_expiry, name, url.hostname, port)
        await asyncio.sleep(PERIOD_S)


def _set_expiry(name: str, host: str, port: int) -> None:
    """Set the gauge with the label ``name`` to the time at which the server's certificate expires.  If the server does
    not answer, log that; the gauge keeps its value.
    """
    try:
        expiry_s = expires_at(host, port)
    except (OSError, ValueError) as error:
        log.warning("certificate not read", extra={"server": name, "reason": str(error)})
        return
    metrics.CERTIFICATE_EXPIRY_SECONDS.labels(name).set(expiry_s)


def expires_at(host: str, port: int) -> float:
    """Expiry of the server's certificate as Unix time, even if it is not trusted or has expired.  Raises OSError if the
    server does not answer, ValueError if its certificate cannot be parsed.
    """
    pem = ssl.get_server_certificate((host, port), timeout=TIMEOUT_S)
    return x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc.timestamp()
