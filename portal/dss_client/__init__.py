"""The client of a Distributed Segmentation Service (DSS): a library for scripts (``Client``, and ``AsyncClient`` for
asyncio), and the command ``dss``, built on ``itksnap.ItkSnap``, which sends the same requests as ITK-SNAP.

The names in ``__all__`` are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dss_client.asynchronous import AsyncClient
    from dss_client.client import Client
    from dss_client.errors import (
        ClientError,
        ImageUnreadable,
        NotUnderstood,
        Refused,
        ServiceUnfit,
        SignInRefused,
        Unreachable,
    )
    from dss_client.records import (
        Attachment,
        Detail,
        LogLine,
        ServiceDetail,
        ServiceRow,
        Summary,
        Tag,
        TicketRow,
    )

__all__ = [
    "AsyncClient",
    "Attachment",
    "Client",
    "ClientError",
    "Detail",
    "ImageUnreadable",
    "LogLine",
    "NotUnderstood",
    "Refused",
    "ServiceDetail",
    "ServiceRow",
    "ServiceUnfit",
    "SignInRefused",
    "Summary",
    "Tag",
    "TicketRow",
    "Unreachable",
]

_PLACES = {"AsyncClient": "asynchronous", "Client": "client"}
_RECORDS = {
    "Attachment",
    "Detail",
    "LogLine",
    "ServiceDetail",
    "ServiceRow",
    "Summary",
    "Tag",
    "TicketRow",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'dss_client' has no attribute {name!r}")
    place = _PLACES.get(name) or ("records" if name in _RECORDS else "errors")
    return getattr(import_module(f"dss_client.{place}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
