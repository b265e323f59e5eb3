# mypy: allow-untyped-calls
# (MONAI ships no types)
"""How an image gets into a bundle's transforms, and how its network is watched at work."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor

from dss_inference.bundle import Progress
from dss_inference.ct.reading import Ct
from dss_inference.errors import Cancelled, InferenceError

NO_NUMBERS = (
    "The network answered with values that are not numbers (NaN or infinite), so nothing was segmented. "
    "Its weights or its intensity scaling are wrong; please tell the operator."
)
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

    ``note`` hears how many windows each has.  Raises InferenceError at the end if an answer had values
    that are not numbers: a comparison with one is false, so that they would become background.
    """
    done = 0
    sound: dict[
        torch.device, torch.Tensor
    ] = {}  # there, so that no window waits for another device

    def before(_: object, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal done
        if cancelled():
            raise Cancelled
        progress(0.15 + 0.65 * min(1.0, done / batches), "running the network")
        note(len(inputs[0]))
        done += 1

    def after(_: object, __: object, answer: object) -> None:
        for values in _tensors_in(answer):
            finite = torch.isfinite(values).all()
            sound[values.device] = sound.get(values.device, finite) & finite

    handles = (network.register_forward_pre_hook(before), network.register_forward_hook(after))
    try:
        yield
    except (ValueError, RuntimeError) as error:  # a detector fails at them, in words of its own
        _require_sound(sound, error)
        raise
    finally:
        for handle in handles:
            handle.remove()
    _require_sound(sound)


def _require_sound(sound: dict[torch.device, torch.Tensor], cause: Exception | None = None) -> None:
    if not all(bool(finite) for finite in sound.values()):
        raise InferenceError(NO_NUMBERS) from cause


def require_numbers(prepared: torch.Tensor) -> None:
    """Raises InferenceError: a network makes anything of an input that has none."""
    if not bool(torch.isfinite(prepared).all()):
        raise InferenceError(
            "The bundle's preparation of the image gives values that are not numbers, so it was not "
            "segmented. Check its intensity scaling."
        )


def _tensors_in(answer: object) -> Iterator[torch.Tensor]:
    """A network answers with a tensor, or with lists or a dictionary of them."""
    if isinstance(answer, torch.Tensor):
        yield answer.as_tensor() if isinstance(answer, MetaTensor) else answer
        return
    for part in answer.values() if isinstance(answer, dict) else _listed(answer):
        yield from _tensors_in(part)


def _listed(answer: object) -> Iterable[object]:
    return answer if isinstance(answer, list | tuple) else ()
