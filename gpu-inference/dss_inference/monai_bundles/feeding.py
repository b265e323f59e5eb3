# mypy: allow-untyped-calls
# (MONAI ships no types)
"""How an image gets into a bundle's transforms, and how its network is watched at work."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor

from dss_inference.bundle import Progress
from dss_inference.errors import Cancelled
from dss_inference.images import Ct

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def as_tensor(ct: Ct) -> Any:
    """The image (x, y, z) with its affine to RAS, and without a channel axis, as a loader would give it."""
    origin = ct.point_mm(np.zeros(3))
    affine = np.eye(4)
    affine[:3, 3] = origin
    for axis in range(3):
        step = np.zeros(3)
        step[2 - axis] = 1  # point_mm takes (z, y, x)
        affine[:3, axis] = ct.point_mm(step) - origin
    voxels = torch.from_numpy(np.ascontiguousarray(ct.hu.transpose(2, 1, 0)).astype(np.float32))
    meta = {"original_channel_dim": float("nan"), "space": "RAS"}
    return MetaTensor(voxels, affine=torch.from_numpy(LPS_TO_RAS @ affine), meta=meta)


def batches_of(inferer: Any, prepared: Any) -> int:
    """How often ``inferer`` calls the network for an image (c, x, y, z); 1 if it does not say."""
    roi = getattr(inferer, "roi_size", None)
    if roi is None:
        return 1
    overlap = inferer.overlap
    overlaps = overlap if isinstance(overlap, list | tuple) else [overlap] * 3
    count = 1
    for n, r, o in zip(prepared.shape[1:], roi, overlaps, strict=True):
        count *= math.ceil(max(0, n - r) / max(1, int(r * (1 - o)))) + 1
    return math.ceil(count / int(inferer.sw_batch_size))


@contextmanager
def watched(
    network: torch.nn.Module,
    batches: int,
    progress: Progress,
    cancelled: Callable[[], bool],
    note: Callable[[int], None],
) -> Iterator[None]:
    """Tell how many batches of windows are done before each, and stop between two of them.

    ``note`` hears how many windows each has.
    """
    done = 0

    def before(_: object, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal done
        if cancelled():
            raise Cancelled
        progress(0.15 + 0.65 * min(1.0, done / batches), "running the network")
        note(len(inputs[0]))
        done += 1

    handle = network.register_forward_pre_hook(before)
    try:
        yield
    finally:
        handle.remove()
