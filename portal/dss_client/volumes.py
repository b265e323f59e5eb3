"""Measures the volumes of the labels in downloaded results."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from dss_client.errors import NotUnderstood
from dss_client.workspace import DownloadedResults


@dataclass(frozen=True, kw_only=True)
class LabelVolume:
    """The volume of a label in a segmentation.  ``segmentation`` is that layer's name if several layers have voxels of
    the label, otherwise "".
    """

    value: int
    name: str
    volume_ml: float
    segmentation: str = ""

    @property
    def called(self) -> str:
        """The label's name, with the name of the segmentation if several have the label."""
        return f"{self.name} (in {self.segmentation})" if self.segmentation else self.name


def measure(outcome: DownloadedResults) -> list[LabelVolume]:
    """The volumes of the labels that have voxels, sorted by value.  A label in several segmentations, such as the
    user's own and the result, has a volume for each.  Raises NotUnderstood if a segmentation cannot be read.
    """
    found = [_volumes_ml(path) for path in outcome.segmentations]
    times = Counter(value for volumes_ml in found for value in volumes_ml)
    measured = [
        LabelVolume(
            value=v,
            name=outcome.labels.get(v, f"Label {v}"),
            volume_ml=round(ml, 3),
            segmentation=outcome.called(i) if times[v] > 1 else "",
        )
        for i, volumes_ml in enumerate(found)
        for v, ml in volumes_ml.items()
    ]
    return sorted(measured, key=lambda label: label.value)


def _volumes_ml(path: Path) -> dict[int, float]:
    from dss_images.errors import ImageRefused  # noqa: PLC0415 - needs the extra ``images``
    from dss_images.labels import label_volumes  # noqa: PLC0415

    try:
        return label_volumes(path)
    except ImageRefused as error:
        raise NotUnderstood(f"The segmentation {path.name} cannot be measured. {error}") from error
