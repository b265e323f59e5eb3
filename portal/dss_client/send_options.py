"""The options that apply to every ticket of a batch, and the title of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dss_client.batch_content import content_of
from dss_client.batch_items import (
    Item,
)
from dss_submission.parts import SourcePart
from dss_submission.region import Region


@dataclass(frozen=True, kw_only=True)
class SendOptions:
    """How the images of a batch are sent.  ``tagged`` are further images by tag, and ``region`` is the part to segment,
    both for each image.  ``wait``: wait until all tickets have ended.

    ``name`` is the beginning of the tickets' names in the user's list, before the image's name; None means the image's
    name alone, "" no names.  ``unsent`` are files that are not sent and only get a row in ``results.csv``.
    """

    tagged: Mapping[str, Path] = field(default_factory=dict)
    region: Region = field(default_factory=Region)
    name: str | None = None
    wait: bool = True
    unsent: Sequence[Item] = ()

    @property
    def signature(self) -> str:
        """The options that change the results, as text; "" without any."""
        return "; ".join(
            [
                *([f"box {self.region.box}"] if self.region.box else []),
                *([f"time point {self.region.time_point}"] if self.region.time_point else []),
                *(
                    f"{tag}={path.resolve()} ({content_of(SourcePart(path))})"
                    for tag, path in self.tagged.items()
                ),
            ]
        )


def title_of(name: str | None, image: str) -> str:
    """The name of an image's ticket in the user's list: the batch's name, a blank, and the image's name.  If the
    batch's ``name`` is None, it is ``image`` alone; if ``name`` is "", the ticket has no name.
    """
    if name is None:
        return image
    return f"{name} {image}" if name else ""
