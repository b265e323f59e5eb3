"""How a file keeps the voxels of a volume, and its slices one by one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from dss_inference.errors import InferenceError
from dss_inference.geometry import Voxels

DAMAGED = "The image file is damaged: it ends too early. Send it again, whole."
OVERLONG = (
    "The image file is damaged: it holds more voxels than its header says. Save the image anew."
)
UNREADABLE = "The image cannot be read: it is damaged or of an unknown type; NIfTI-1, NRRD or MetaImage is needed."
_MOST_SURPLUS_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Layout:
    """``kind`` has the file's byte order.  What a voxel means is ``slope`` times its number plus ``intercept``."""

    kind: np.dtype[Any]
    slope: float = 1.0
    intercept: float = 0.0

    def values(self, data: bytes, shape: tuple[int, int]) -> Voxels:
        """In single precision where they are scaled, as ITK has them."""
        stored = np.frombuffer(data, self.kind).reshape(shape)
        if (self.slope, self.intercept) == (1.0, 0.0):
            return stored
        with np.errstate(over="ignore", invalid="ignore"):  # what is no number is refused later
            return self._scaled(stored)

    def _scaled(self, stored: Voxels) -> Voxels:
        scaled: npt.NDArray[np.float64] = stored * np.float64(self.slope) + self.intercept
        return scaled if self.kind.char == "d" else scaled.astype(np.float32)


def slices(stream: BinaryIO, layout: Layout, size: tuple[int, int, int]) -> Iterator[Voxels]:
    """Those (y, x) of a volume of ``size`` (x, y, z) voxels, from z = 0 on.

    Raises InferenceError where ``stream`` has less, or, after the last one, much more; and what reading it does.
    """
    shape = (size[1], size[0])
    slice_bytes = size[0] * size[1] * layout.kind.itemsize
    for _ in range(size[2]):
        data = stream.read(slice_bytes)
        if len(data) < slice_bytes:
            raise InferenceError(DAMAGED)
        yield layout.values(data, shape)
    if len(stream.read(_MOST_SURPLUS_BYTES)) == _MOST_SURPLUS_BYTES:
        raise InferenceError(OVERLONG)
