# mypy: allow-untyped-calls
# (SimpleITK ships no types; it is imported where it is used, because it takes a second to load)
"""How large each label of a result is."""

import math
from dataclasses import dataclass
from pathlib import Path

from dss_client.workspace import Outcome

MM3_PER_ML = 1000.0


@dataclass(frozen=True, kw_only=True)
class LabelVolume:
    value: int
    name: str
    volume_ml: float


def measure(outcome: Outcome) -> list[LabelVolume]:
    """The labels that have voxels, over all segmentations, by value."""
    volumes_ml: dict[int, float] = {}
    for path in outcome.segmentations:
        for value, ml in _volumes_ml(path).items():
            volumes_ml[value] = volumes_ml.get(value, 0.0) + ml
    return [
        LabelVolume(value=v, name=outcome.labels.get(v, f"Label {v}"), volume_ml=round(ml, 3))
        for v, ml in sorted(volumes_ml.items())
    ]


def _volumes_ml(path: Path) -> dict[int, float]:
    import SimpleITK as sitk  # noqa: PLC0415, N813

    image = sitk.ReadImage(str(path), sitk.sitkUInt16)
    voxel_ml = math.prod(image.GetSpacing()[:3]) / MM3_PER_ML
    count = sitk.LabelShapeStatisticsImageFilter()
    count.ComputePerimeterOff()
    count.Execute(image)
    return {value: count.GetNumberOfPixels(value) * voxel_ml for value in count.GetLabels()}
