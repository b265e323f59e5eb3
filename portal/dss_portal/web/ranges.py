"""Ranges of downloads: which Range headers the portal honours."""

from quart import Quart, request
from werkzeug.http import parse_range_header


def install(app: Quart) -> None:
    """Make ``app`` honour a Range header with one range of bytes, and ignore all others."""
    app.before_request(_ignore_other_ranges)


async def _ignore_other_ranges() -> None:
    """Remove a Range header that names several ranges or another unit than bytes, or that is malformed.  The response
    is then the complete file, as RFC 9110, section 14.2, allows; Quart would answer with status 416.
    """
    sent = request.headers.get("Range")
    if sent is not None and not _is_one_range_of_bytes(sent):
        request.headers.remove("Range")


def _is_one_range_of_bytes(header: str) -> bool:
    found = parse_range_header(header)
    return found is not None and found.units == "bytes" and len(found.ranges) == 1
