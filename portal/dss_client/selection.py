"""Chooses a service, and those of its tags that one image can satisfy."""

import re
from collections.abc import Collection, Sequence

from dss_client.errors import ServiceUnfit
from dss_client.records import ServiceDetail, ServiceRow

MAIN_IMAGE_TYPES = frozenset({"MainImage", "AnatomicalImage"})
"""The tag types that ITK-SNAP gives to a main image (DistributedSegmentationModel.cxx, FindUniqueObjectForTag)."""


def choose_service(rows: Sequence[ServiceRow], wanted: str) -> ServiceRow:
    """The service with the hash ``wanted``, or the newest with that name.  Raises ServiceUnfit if there is none."""
    found = [row for row in rows if wanted in {row.githash, row.name}]
    if found:
        return max(found, key=lambda row: _release(row.version))
    offered = ", ".join(sorted({row.name for row in rows})) or "nothing"
    raise ServiceUnfit(f"There is no service '{wanted}'; the server offers {offered}.")


def main_image_tags(detail: ServiceDetail) -> list[str]:
    """The tags that the main image gets, as ITK-SNAP assigns them when only one image is loaded."""
    return [tag.name for tag in detail.tags if tag.type in MAIN_IMAGE_TYPES]


def require_tags(detail: ServiceDetail, given: Collection[str]) -> None:
    """Raises ServiceUnfit if a required tag is neither for a main image nor in ``given``."""
    for tag in detail.tags:
        if tag.required and tag.type not in MAIN_IMAGE_TYPES and tag.name not in given:
            raise ServiceUnfit(
                f"The service needs '{tag.name}' ({tag.type}) besides an image. An image is given by --tag "
                f"{tag.name}=FILE; anything else by a workspace from ITK-SNAP with that tag."
            )


def require_known(detail: ServiceDetail, given: Collection[str]) -> None:
    """Raises ServiceUnfit for a tag in ``given`` that the service does not have: it would be ignored."""
    names = [tag.name for tag in detail.tags]
    for tag in given:
        if tag not in names:
            raise ServiceUnfit(
                f"The service has no tag '{tag}'; it has {', '.join(names) or 'none'}."
            )


def _release(version: str) -> tuple[int, ...]:
    """Sort key like the server's: the three numbers of a version, 0 for each that is missing."""
    parts = [*version.split("."), "", "", ""][:3]
    return tuple(int(part) if re.fullmatch("[0-9]+", part) else 0 for part in parts)
