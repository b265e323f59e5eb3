"""Parses the request headers of the protocol tus."""

import base64
import binascii
import re

from dss_portal.datastore.names import flat_name
from dss_portal.refusals import Refused
from dss_portal.resumable.rules import AnnouncedFile

VERSION = "1.0.0"
EXTENSIONS = "creation,termination,expiration"
BODY_TYPE = "application/offset+octet-stream"
_SHA256 = re.compile("[0-9a-f]{64}")
DIGITS = 18
"""Largest number of digits in a number of bytes, because of the database's integers."""


def require_version(sent: str) -> None:
    """Raises Refused (412) unless ``sent``, the header Tus-Resumable, is the version of the protocol that this server
    supports.
    """
    if sent != VERSION:
        raise Refused(f"This needs the header 'Tus-Resumable: {VERSION}', not '{sent}'.", 412)


def size(name: str, sent: str) -> int:
    """The value of a header as a number of bytes.  ``name`` is the header's name, for the refusal; ``sent`` is its
    text.  Raises Refused if that is not a number of bytes.
    """
    if not (sent.isascii() and sent.isdigit() and len(sent) <= DIGITS):
        raise Refused(f"The header '{name}' must be a number of bytes, not '{sent}'.")
    return int(sent)


def read_metadata(metadata: str, size_bytes: int) -> AnnouncedFile:
    """The file that the header Upload-Metadata describes.  It must contain ``filename``; ``sha256`` of the complete
    file and other values are optional.  Raises Refused if a value is missing or malformed.
    """
    values = _values(metadata)
    if not values.get("filename"):
        raise Refused("The header 'Upload-Metadata' must hold the 'filename', in base64.")
    digits = values.get("sha256", "").lower()
    if digits and not _SHA256.fullmatch(digits):
        raise Refused("The 'sha256' in 'Upload-Metadata' must be 64 hexadecimal digits, in base64.")
    name = flat_name(values["filename"])
    return AnnouncedFile(name=name, size_bytes=size_bytes, sha256=digits, metadata=values)


def _values(metadata: str) -> dict[str, str]:
    pairs = (pair.strip().partition(" ")[::2] for pair in metadata.split(","))
    return {key: _decoded(key, value) for key, value in pairs if key}


def _decoded(key: str, value: str) -> str:
    try:
        return base64.b64decode(value.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Refused(f"The '{key}' in 'Upload-Metadata' must be UTF-8 in base64.") from error
