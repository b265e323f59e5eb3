"""Prints the result of ``dss service test``."""

from pathlib import Path

from dss_provider.images import load_array, suffix_for, write_in_grid
from dss_provider.outcome import Outcome
from dss_provider.sizes import label_sizes


def summary(outcome: Outcome, image: Path, work: Path) -> tuple[list[str], list[Path]]:
    """Lines to print, and the files to keep."""
    lines = [
        f"{label.value:5d}  {label.name:30}  {label.volume_ml:12.1f} ml"
        for label in label_sizes(outcome, work, image)
    ]
    files: list[Path] = []
    for i, found in enumerate(outcome.segmentations):
        files.append(work / f"segmentation_{i}{suffix_for(image)}")
        write_in_grid(load_array(work / found.file), image, files[-1])
    for i, extra in enumerate(outcome.images):
        files.append(work / f"image_{i}{suffix_for(image)}")
        write_in_grid(load_array(work / extra.file), image, files[-1])
    files += [work / "files" / name for name in outcome.files]
    lines += [f"Warning: {remark}" for remark in outcome.remarks]
    return lines or ["No label was found."], files
