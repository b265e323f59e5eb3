# mypy: allow-untyped-calls
# (boto3 ships no types; it builds the methods of its client at run time)
"""Makes boto3's client, and turns its errors into those of a file system."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from dss_datastore.s3.errors import translated
from dss_datastore.volume import away
from dss_process.proxies import proxy_address

CONNECT_S = 5.0
READ_S = 20.0
ATTEMPTS = 4
"""Total number of attempts of a request; the waits between them grow."""
CONNECTIONS = 32
_LIBRARY = {"boto3", "botocore", "s3transfer", "ssl", "urllib3"}

Client: TypeAlias = Any
"""boto3's S3 client, which has no types.  It may be used from any thread."""

NEEDED = "This program was installed without the extra 's3', which DSS_DATASTORE_URL needs."


@dataclass(frozen=True, kw_only=True)
class Server:
    """An S3 server.  If ``endpoint``, ``region`` or ``ca_file`` is empty, boto3's own settings apply.

    Credentials are found as every S3 client finds them: AWS_ACCESS_KEY_ID, AWS_SHARED_CREDENTIALS_FILE, or a role of
    the machine.
    """

    endpoint: str = ""
    region: str = ""
    ca_file: Path | None = None
    attempts: int = ATTEMPTS


@cache
def client(server: Server, *, read_s: float = READ_S) -> Client:
    """The boto3 client of ``server``.  It is cached, because making one takes a second of CPU time.

    Raises ModuleNotFoundError with a sentence if boto3 is not installed, and ValueError with one if boto3's own
    settings are wrong, such as AWS_PROFILE, or if the server's proxy cannot be used.
    """
    try:
        import boto3  # type: ignore[import-untyped]  # noqa: PLC0415 - the extra, and 150 ms
        from botocore.config import Config  # type: ignore[import-untyped]  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(NEEDED) from error
    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=read_s,
        retries={"total_max_attempts": server.attempts, "mode": "standard"},
        max_pool_connections=CONNECTIONS,
        # Some servers do not know boto3's own checksums; every server knows Content-MD5.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"} if server.endpoint else {},
    )
    try:
        made = boto3.session.Session().client(
            "s3",
            endpoint_url=server.endpoint or None,
            region_name=server.region or None,
            verify=str(server.ca_file) if server.ca_file else None,
            config=config,
        )
    except Exception as error:
        if not is_of_the_library(error):
            raise
        raise ValueError(f"The S3 client cannot be set up: {str(error).rstrip('.')}.") from error
    _require_usable_proxy(made.meta.endpoint_url)
    return made


def _require_usable_proxy(endpoint: str) -> None:
    """Raises ValueError with a sentence if boto3 cannot use the proxy that it would take for ``endpoint``.  Otherwise it
    would only say that the server does not answer.
    """
    from botocore import utils  # type: ignore[import-untyped]  # noqa: PLC0415 - the extra

    scheme = urlsplit(endpoint).scheme
    if address := utils.get_environ_proxies(endpoint).get(scheme):
        named = (f"{scheme}_proxy", f"{scheme}_proxy".upper())
        proxy_address(next(name for name in named if os.environ.get(name)), address)


def copied_parts(size_bytes: int) -> Any:
    """boto3's settings for a copy within the server, in parts of ``size_bytes`` that are copied one after the other."""
    from boto3.s3.transfer import TransferConfig  # type: ignore[import-untyped]  # noqa: PLC0415 - the extra

    return TransferConfig(
        multipart_threshold=size_bytes, multipart_chunksize=size_bytes, use_threads=False
    )


def code_of(error: BaseException) -> str:
    """The S3 server's error code, such as ``NoSuchKey``; "" for an error of the connection or of the credentials."""
    response = getattr(error, "response", None)
    return str(response["Error"].get("Code", "")) if isinstance(response, dict) else ""


def is_of_the_library(error: BaseException) -> bool:
    """True for an error of boto3, or of the connection that it uses."""
    return type(error).__module__.partition(".")[0] in _LIBRARY


@contextmanager
def file_errors(key: str) -> Iterator[None]:
    """A context that turns boto3's errors into those of a file system: FileNotFoundError, FileReplaced, OSError with
    ENOSPC if the server is full, and ENODEV for all others.  ``key`` is the file's name in the error.
    """
    try:
        yield
    except Exception as error:
        if not is_of_the_library(error):
            raise
        code = code_of(error)
        raise (translated(code, key) if code else away()) from error
