"""A file while a client sends it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from dss_portal.datastore import Piece


@dataclass(kw_only=True)
class Incoming:
    """A file that is being uploaded.

    Reading ``data`` to its end also checks what follows the file, and fills in ``fields``.  If the
    form has another file of that name, it counts instead, and ``name`` changes with it.
    ``expected_bytes`` is what the sender announced, the form around the file included; 0 if nothing.
    """

    name: str
    fields: dict[str, str]
    expected_bytes: int
    data: AsyncIterator[Piece] = field(init=False)
