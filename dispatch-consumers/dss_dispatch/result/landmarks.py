"""Converts the landmarks of an algorithm's findings to annotations in the result's workspace."""

from collections.abc import Sequence

from dss_broker.messages import Landmark
from dss_dispatch.ticket_images import ImageHeader
from dss_workspace import landmarks as ws


def annotations(landmarks: Sequence[Landmark], main: ImageHeader) -> list[ws.Landmark]:
    """Annotations for the landmarks, whose positions are in LPS, mm; ``main`` is the header of the main image."""
    return [_annotation(landmark, main) for landmark in landmarks]


def _annotation(landmark: Landmark, main: ImageHeader) -> ws.Landmark:
    x, y, z = (float(number) for number in main.index_of(landmark.position_mm))
    return ws.Landmark(text=landmark.text, index=(x, y, z), rgb=landmark.rgb)
