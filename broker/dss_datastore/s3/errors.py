"""Translates the error codes of an S3 server into errors of a file system and into sentences for operators."""

from dss_datastore.space import disk_full
from dss_datastore.volume import away

_FULL = frozenset({"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "507"})
_GONE = frozenset({"NoSuchKey", "404", "NotFound"})
_CHANGED = frozenset({"PreconditionFailed", "412"})
_SENTENCES = {
    "NoSuchBucket": "The S3 server has no bucket '{bucket}'.",
    "InvalidAccessKeyId": "The S3 server does not know the access key that this program has.",
    "SignatureDoesNotMatch": "The S3 server says that the secret key of this program is wrong.",
    "RequestTimeTooSkewed": "The clocks of this machine and of the S3 server differ too much.",
    "ExpiredToken": "The access key of this program has expired.",
    "PermanentRedirect": "The bucket '{bucket}' is in another region or at another endpoint.",
    "AuthorizationHeaderMalformed": "The bucket '{bucket}' is in another region; set DSS_S3_REGION.",
    "AccessDenied": "The S3 server denies this program access to the bucket '{bucket}'.",
    "403": "The S3 server denies this program access to the bucket '{bucket}'.",
}


class FileReplaced(OSError):
    """A file was replaced by another one of the same name while it was read or copied."""


def translated(code: str, key: str) -> OSError:
    """The error that a file system would raise, for the S3 server's error ``code`` about the file ``key``:
    FileNotFoundError, FileReplaced, OSError with ENOSPC if the server is full, and ENODEV for all other codes.
    """
    if code in _GONE:
        return FileNotFoundError(key)
    if code in _CHANGED:
        return FileReplaced(key)
    return disk_full() if code in _FULL else away()


def sentence(code: str, bucket: str) -> str:
    """A sentence for operators about an S3 server's error ``code``, which names ``bucket``."""
    known = _SENTENCES.get(code, "The S3 server refuses the bucket '{bucket}': " + code + ".")
    return known.format(bucket=bucket)
