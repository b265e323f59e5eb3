"""Measures the volumes of the labels in an algorithm's outcome."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dss_provider.images import grid_of, load_array
from dss_provider.outcome import AlgorithmOutcome


@dataclass(frozen=True, kw_only=True)
class LabelSize:
    """The volume of a label.  ``value`` is the algorithm's own value; in a workspace it may be another one."""

    value: int
    name: str
    volume_ml: float


def label_sizes(outcome: AlgorithmOutcome, work: Path, image: Path) -> list[LabelSize]:
    """The volume of each label of each segmentation.  ``work`` has the arrays' files; ``image`` is a file with the
    segmentations' grid.
    """
    voxel_ml = grid_of(image).voxel_ml
    sizes = []
    for found in outcome.segmentations:
        counts = np.bincount(load_array(work / found.file).ravel(), minlength=65536)
        sizes += [
            LabelSize(value=n.value, name=n.name, volume_ml=float(counts[n.value]) * voxel_ml)
            for n in found.labels
        ]
    return sizes
