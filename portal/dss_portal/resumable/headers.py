"""Reads the headers of the tus protocol."""

import base64
import binascii
import re

from dss_portal.datastore import flat_name
from dss_portal.refusals import Refused

VERSION = "1.0.0"
EXTENSIONS = "creation,termination,expiration"
BODY_TYPE = "application/offset+octet-stream"
_SHA256 = re.compile("[0-9a-f]{64}")
DIGITS = 18
"""Most digits of a number, because of the database's integers."""


def require_version(sent: str) -> None:
    """Raises Refused unless the request has this version of the protocol."""
    if sent != VERSION:
        raise Refused(f"This needs the header 'Tus-Resumable: {VERSION}', not '{sent}'.", 412)


def size(name: str, sent: str) -> int:
    """A number of bytes.  Raises Refused if ``sent`` is none."""
    if not (sent.isascii() and sent.isdigit() and len(sent) <= DIGITS):
        raise Refused(f"The header '{name}' must be a number of bytes, not '{sent}'.")
    return int(sent)


def file_name(metadata: str) -> str:
    """The ``filename`` in the header Upload-Metadata, without folders.  Raises Refused if there is none."""
    name = _value(metadata, "filename")
    if not name:
        raise Refused("The header 'Upload-Metadata' must hold the 'filename', in base64.")
    return flat_name(name)


def sha256(metadata: str) -> str:
    """The ``sha256`` of the whole file in the header Upload-Metadata, "" if there is none.  Raises Refused."""
    digits = _value(metadata, "sha256").lower()
    if digits and not _SHA256.fullmatch(digits):
        raise Refused("The 'sha256' in 'Upload-Metadata' must be 64 hexadecimal digits, in base64.")
    return digits


def _value(metadata: str, key: str) -> str:
    pairs = dict(pair.strip().partition(" ")[::2] for pair in metadata.split(","))
    try:
        return base64.b64decode(pairs.get(key, "").strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Refused(f"The '{key}' in 'Upload-Metadata' must be UTF-8 in base64.") from error
