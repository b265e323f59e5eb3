# mypy: allow-untyped-calls
# (MONAI annotates only a part of its functions)
"""Hooks on a MONAI bundle's network that report progress, cancel the work and check outputs."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers.inferer import Inferer, SliceInferer, SlidingWindowInferer
from monai.utils.misc import fall_back_tuple

from dss_inference.bundle import Progress
from dss_inference.errors import Cancelled, InferenceError, IsCancelled

NOT_NUMBERS = (
    "The network answered with values that are not numbers (NaN or infinite), so nothing was segmented. "
    "Its weights or its intensity scaling are wrong; please tell the operator."
)


def window_size(inferer: SlidingWindowInferer, image_size: Sequence[int]) -> tuple[int, ...]:
    """Size (x, y, z) of the inferer's windows in an image of ``image_size``, in voxels.  A SliceInferer's windows lie in
    one slice.
    """
    size = inferer.roi_size
    sides = list(size) if isinstance(size, list | tuple) else [size] * 3
    if isinstance(inferer, SliceInferer) and len(sides) == len(image_size) - 1:
        sides.insert(inferer.spatial_dim, 1)
    return tuple(int(side) for side in fall_back_tuple(sides, image_size))


def count_batches(inferer: Inferer | None, prepared: torch.Tensor) -> int:
    """Number of times that ``inferer`` calls the network for an image (c, x, y, z) with its own batch size; 1 without
    windows.
    """
    if getattr(inferer, "roi_size", None) is None:
        return 1
    windows = cast("SlidingWindowInferer", inferer)
    overlap = windows.overlap
    overlaps = overlap if isinstance(overlap, list | tuple) else [overlap] * 3
    count = 1
    size = prepared.shape[1:]
    for n, r, o in zip(size, window_size(windows, size), overlaps, strict=True):
        count *= math.ceil(max(0, n - r) / max(1, int(r * (1 - o)))) + 1
    return math.ceil(count / int(windows.sw_batch_size))


@contextmanager
def watch_network(
    network: torch.nn.Module,
    batches: int,
    progress: Progress,
    cancelled: IsCancelled,
    note: Callable[[int], None],
) -> Iterator[None]:
    """A context in which ``network`` reports progress before each of ``batches`` batches of windows, from 0.15 to 0.8
    of the run, and raises Cancelled instead of computing a batch if ``cancelled()``.

    ``note`` gets the number of windows of each batch.  Raises InferenceError, at the end or instead of a ValueError or
    RuntimeError, if an output had values that are NaN or infinite: every comparison with NaN is false, so they would
    become background.
    """
    hooks = _Hooks(batches, progress, cancelled, note)
    handles = (
        network.register_forward_pre_hook(hooks.before),
        network.register_forward_hook(hooks.after),
    )
    try:
        yield
    except (ValueError, RuntimeError) as error:  # a detector raises these for NaN
        hooks.require_finite_outputs(error)
        raise
    finally:
        for handle in handles:
            handle.remove()
    hooks.require_finite_outputs()


class _Hooks:
    """The functions that torch calls before and after each batch, for ``watch_network``."""

    def __init__(
        self,
        batches: int,
        progress: Progress,
        cancelled: IsCancelled,
        note: Callable[[int], None],
    ) -> None:
        self._batches, self._progress = batches, progress
        self._cancelled, self._note = cancelled, note
        self._done = 0
        self._all_finite: dict[torch.device, torch.Tensor] = {}
        """One flag for each device, so that no window waits for a copy between devices."""

    def before(self, _: object, inputs: tuple[torch.Tensor, ...]) -> None:
        """Raises Cancelled if the run was cancelled; otherwise reports the progress and the size of the batch."""
        if self._cancelled():
            raise Cancelled
        share = min(1.0, self._done / self._batches)
        self._progress(0.15 + 0.65 * share, "running the network")
        self._note(len(inputs[0]))
        self._done += 1

    def after(self, _: object, __: object, answer: object) -> None:
        """Records whether all values of an output are finite."""
        for values in _tensors_in(answer):
            finite = torch.isfinite(values).all()
            self._all_finite[values.device] = self._all_finite.get(values.device, finite) & finite

    def require_finite_outputs(self, cause: Exception | None = None) -> None:
        """Raises InferenceError if an output had values that are NaN or infinite."""
        if not all(bool(finite) for finite in self._all_finite.values()):
            raise InferenceError(NOT_NUMBERS) from cause


def _tensors_in(answer: object) -> Iterator[torch.Tensor]:
    """The tensors of a network's output: a tensor, or lists, tuples and dictionaries of tensors, also nested.  Anything
    else is left out.
    """
    if isinstance(answer, torch.Tensor):
        yield answer.as_tensor() if isinstance(answer, MetaTensor) else answer
        return
    for part in answer.values() if isinstance(answer, dict) else _listed(answer):
        yield from _tensors_in(part)


def _listed(answer: object) -> Iterable[object]:
    return answer if isinstance(answer, list | tuple) else ()
