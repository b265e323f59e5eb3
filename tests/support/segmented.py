# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Tickets of lungs that are sent and come back, and how right they are."""

from pathlib import Path

import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_client.itksnap import ItkSnap
from dss_client.sending import Sent, send
from dss_client.workspace import read_outcome
from support.watchers import Quiet


def segmented(client: ItkSnap, scan: Path, folder: Path) -> tuple[Sent, sitk.Image]:
    """Send ``scan``; the outcome and the segmentation that came back."""
    sent = send(client, scan, "lung-segmentation", folder, Quiet())
    assert sent.results is not None, sent.log
    (file,) = read_outcome(sent.results.workspace).segmentations
    return sent, sitk.ReadImage(str(file))
