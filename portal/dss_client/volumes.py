"""Measures the labels of a result."""

from dataclasses import dataclass
from pathlib import Path

from dss_client.errors import NotUnderstood
from dss_client.workspace import DownloadedResults


@dataclass(frozen=True, kw_only=True)
class LabelVolume:
    value: int
    name: str
    volume_ml: float


def measure(outcome: DownloadedResults) -> list[LabelVolume]:
    """The volumes of the labels that have voxels, summed over all segmentations and sorted by value.  Raises
    NotUnderstood.
    """
    volumes_ml: dict[int, float] = {}
    for path in outcome.segmentations:
        for value, ml in _volumes_ml(path).items():
            volumes_ml[value] = volumes_ml.get(value, 0.0) + ml
    return [
        LabelVolume(value=v, name=outcome.labels.get(v, f"Label {v}"), volume_ml=round(ml, 3))
        for v, ml in sorted(volumes_ml.items())
    ]


def _volumes_ml(path: Path) -> dict[int, float]:
    from dss_images.errors import ImageRefused  # noqa: PLC0415
    from dss_images.labels import label_volumes  # noqa: PLC0415

    try:
        return label_volumes(path)
    except ImageRefused as error:
        raise NotUnderstood(f"The segmentation {path.name} cannot be measured. {error}") from error
