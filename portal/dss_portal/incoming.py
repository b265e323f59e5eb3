"""Describes a file that a client is uploading in a form."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from dss_portal.datastore.pieces import Piece


@dataclass(kw_only=True)
class Incoming:
    """A file that a client is uploading in a form.  ``data`` must be read to its end, which also checks the rest of the
    form and fills ``fields``, the other fields of the form.

    If the form has a second file, it replaces the first, and ``name`` changes with it.  ``expected_bytes`` is the
    announced size of the request, which is a little more than that of the file; 0 if none was announced.
    """

    name: str
    fields: dict[str, str]
    expected_bytes: int
    data: AsyncIterator[Piece] = field(init=False)
