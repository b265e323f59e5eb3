"""The image file that is uploaded for one layer of a ticket's workspace."""

from dataclasses import dataclass
from pathlib import Path

from dss_images.dicom.notes import Note


@dataclass(frozen=True, kw_only=True)
class Layer:
    """An image file to upload.  ``size`` in voxels (x, y, z, ...).  ``notes`` are for the ticket's log."""

    path: Path
    size: tuple[int, ...]
    notes: tuple[Note, ...] = ()
