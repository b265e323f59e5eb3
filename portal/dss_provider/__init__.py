"""``dss service``: makes a service of a provider's algorithm.  Here are the names that a provider's ``algorithm.py``
imports: ``from dss_provider import Image, Label, Progress, Segmentation``.
"""

from dss_provider.algorithm import (
    CannotSegment,
    Image,
    Inputs,
    Label,
    Mesh,
    Progress,
    Result,
    Segmentation,
)

__all__ = [
    "CannotSegment",
    "Image",
    "Inputs",
    "Label",
    "Mesh",
    "Progress",
    "Result",
    "Segmentation",
]
