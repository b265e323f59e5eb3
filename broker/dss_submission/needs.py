"""The tags that a service needs, and checks whether a user's images satisfy them."""

from collections.abc import Collection
from dataclasses import dataclass

from dss_submission.errors import ServiceUnfit

MAIN_IMAGE_TYPES = frozenset({"MainImage", "AnatomicalImage"})
"""The tag types that ITK-SNAP gives to a main image (DistributedSegmentationModel.cxx, FindUniqueObjectForTag)."""

TIME_POINT = "TimePoint"
"""The type of a tag for a time point (DistributedSegmentationModel.cxx)."""


@dataclass(frozen=True, kw_only=True)
class Tag:
    """A name by which the service finds an object of the user's workspace.

    ``type`` is the kind of layer or annotation, in ITK-SNAP's words; ``hint`` is shown to the user.
    """

    name: str
    type: str
    required: bool = False
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class ServiceDetail:
    longdesc: str = ""
    url: str = ""
    tags: tuple[Tag, ...] = ()


def main_image_tags(detail: ServiceDetail) -> list[str]:
    """The tags that the main image gets, as ITK-SNAP assigns them when only one image is loaded."""
    return [tag.name for tag in detail.tags if tag.type in MAIN_IMAGE_TYPES]


def require_tags(detail: ServiceDetail, sent_tags: Collection[str]) -> None:
    """Raises ServiceUnfit if a required tag is neither for a main image nor in ``sent_tags``."""
    for tag in detail.tags:
        if tag.required and tag.type not in MAIN_IMAGE_TYPES and tag.name not in sent_tags:
            raise ServiceUnfit(
                f"The service needs '{tag.name}' ({tag.type}) besides an image. An image is given by --tag "
                f"{tag.name}=FILE; anything else by a workspace from ITK-SNAP with that tag."
            )


def require_known(detail: ServiceDetail, sent_tags: Collection[str]) -> None:
    """Raises ServiceUnfit for a tag in ``sent_tags`` that the service does not have, and so would ignore."""
    names = [tag.name for tag in detail.tags]
    for tag in sent_tags:
        if tag not in names:
            raise ServiceUnfit(
                f"The service has no tag '{tag}'; it has {', '.join(names) or 'none'}."
            )
