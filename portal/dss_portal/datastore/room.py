"""Refuses files that are too large, or for which the disk or the S3 server has no room."""

from collections.abc import Iterator
from contextlib import contextmanager

from dss_datastore.space import is_disk_full
from dss_portal.refusals import Refused


@contextmanager
def room_needed() -> Iterator[None]:
    """A context that turns the OSError of a full disk or server into Refused (507); other errors are raised unchanged."""
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise no_room() from error
        raise


def no_room() -> Refused:
    return Refused(
        "The service has no room on its disk, and the file was not stored; please tell its operator.",
        507,
    )


def too_large(limit_bytes: int) -> Refused:
    return Refused(f"The file is larger than {limit_bytes} bytes.", 413)
