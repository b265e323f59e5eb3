# mypy: allow-untyped-calls
# (MONAI annotates only a part of its functions)
"""The argmax of the channels of a MONAI bundle at each voxel, without holding all channels of the complete image.

MONAI's ``sliding_window_inference`` keeps the output of every channel for every voxel (also with ``buffer_steps``,
which only moves it): 66 GB for 105 channels of 512 x 512 x 600.  Here the windows are processed along the image's
longest axis, and rows that no later window covers are reduced at once.  Windows, weights and padding are MONAI's.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from monai.data.utils import compute_importance_map, dense_patch_slices
from monai.inferers.inferer import SlidingWindowInferer
from monai.utils.misc import fall_back_tuple
from torch.nn import functional

from dss_inference.errors import InferenceError

Window: TypeAlias = tuple[slice, ...]


@dataclass(frozen=True, kw_only=True)
class WindowGrid:
    """The windows of an image (1, c, x, y, z), as its ``SlidingWindowInferer`` defines them.  ``roi`` is a window's
    size, ``padding`` is in torch's order, and ``windows`` are sorted along ``axis``, the image's longest axis.
    """

    roi: tuple[int, ...]
    padding: tuple[int, ...]
    windows: tuple[Window, ...]
    axis: int

    @classmethod
    def of(cls, inferer: SlidingWindowInferer, size: Sequence[int]) -> "WindowGrid":
        """The windows of ``inferer`` for an image of ``size`` (x, y, z), sorted along the longest axis."""
        roi = tuple(fall_back_tuple(inferer.roi_size, size))
        short = [max(0, r - n) for n, r in zip(size, roi, strict=True)]
        padded = [n + s for n, s in zip(size, short, strict=True)]
        steps = _steps(padded, roi, inferer.overlap)
        axis = padded.index(max(padded))
        windows = sorted(dense_patch_slices(padded, roi, steps), key=lambda w: w[axis].start)
        padding = [side for s in reversed(short) for side in (s // 2, s - s // 2)]
        return cls(roi=roi, padding=tuple(padding), windows=tuple(windows), axis=axis)

    def batches(self, most: int) -> Iterator[tuple[Window, ...]]:
        for first in range(0, len(self.windows), most):
            yield self.windows[first : first + most]

    def without_padding(self, labels: torch.Tensor) -> torch.Tensor:
        before = self.padding[::-1][1::2]
        after = self.padding[::-1][0::2]
        inner = (slice(b, n - a) for n, b, a in zip(labels.shape, before, after, strict=True))
        return labels[tuple(inner)]


def slab_argmax(
    image: torch.Tensor,
    network: Callable[[torch.Tensor], torch.Tensor],
    inferer: SlidingWindowInferer,
    *,
    batch: int,
    device: torch.device,
    sums_on: torch.device,
) -> torch.Tensor:
    """The number, from 0, of the largest channel at each voxel (x, y, z), on the CPU, as uint8 (int16 above 256
    channels): the argmax of what ``inferer`` would return for ``image`` (1, c, x, y, z).

    ``network`` runs on ``device`` with ``batch`` windows at once; the sums of the current slab are kept on ``sums_on``.
    Raises InferenceError if an output has another size than its window.
    """
    cut = WindowGrid.of(inferer, image.shape[2:])
    padded = functional.pad(image, cut.padding, mode=str(inferer.padding_mode), value=inferer.cval)
    weights = compute_importance_map(
        cut.roi, mode=inferer.mode, sigma_scale=inferer.sigma_scale, device=sums_on
    )
    slab: _Slab | None = None
    for windows in cut.batches(batch):
        given = torch.cat([padded[(slice(None), slice(None), *window)] for window in windows]).to(
            device
        )
        for answer, window in zip(network(given), windows, strict=True):
            if answer.shape[1:] != weights.shape:
                raise InferenceError(
                    "The bundle's network answers in another size than it is asked."
                )
            slab = slab or _Slab(cut, padded.shape[2:], weights, len(answer))
            slab.add(answer, window)
    if slab is None:
        raise InferenceError("The image has no voxels.")
    return cut.without_padding(slab.labels())


class _Slab:
    """Weighted sums of the windows' outputs (c, x, y, z) in a ring buffer, which along the windows' axis is only as
    long as one window.
    """

    def __init__(
        self, cut: WindowGrid, size: Sequence[int], weights: torch.Tensor, channels: int
    ) -> None:
        self._axis, self._rows = cut.axis, cut.roi[cut.axis]
        ring = [self._rows if axis == cut.axis else n for axis, n in enumerate(size)]
        self._weights = weights
        self._sums = torch.zeros((channels, *ring), device=weights.device)
        self._first = 0
        self._labels = torch.empty(*size, dtype=torch.uint8 if channels <= 256 else torch.int16)

    def add(self, answer: torch.Tensor, window: Window) -> None:
        """Add the output of a window.  Windows must come in their order along the axis."""
        start = window[self._axis].start
        self._finish_rows(start - self._first)
        answer = answer.to(self._sums)
        before_end = self._rows - start % self._rows
        self._add(answer, window, slice(0, before_end), slice(start % self._rows, self._rows))
        self._add(answer, window, slice(before_end, self._rows), slice(0, start % self._rows))

    def _add(self, answer: torch.Tensor, window: Window, rows: slice, ring: slice) -> None:
        """Add the ``rows`` of a window's output, weighted, to the rows ``ring`` of the ring buffer."""
        place = tuple(ring if axis == self._axis else part for axis, part in enumerate(window))
        part = answer.narrow(1 + self._axis, rows.start, rows.stop - rows.start)
        weights = self._weights.narrow(self._axis, rows.start, rows.stop - rows.start)
        self._sums[(slice(None), *place)].addcmul_(part, weights)

    def labels(self) -> torch.Tensor:
        self._finish_rows(self._rows)
        return self._labels

    def _finish_rows(self, rows: int) -> None:
        """Make labels of the next ``rows``, which no later window covers, and free their rows in the buffer."""
        end = self._first + rows
        while self._first < end:
            start = self._first % self._rows
            count = min(end - self._first, self._rows - start)
            part = self._sums.narrow(1 + self._axis, start, count)
            self._labels.narrow(self._axis, self._first, count).copy_(
                _largest(part, self._labels.dtype)
            )
            part.zero_()
            self._first += count


def _largest(channels: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
    """``channels.argmax(0)`` of ``channels`` (c, ...) with values of type ``kind``; takes half the time of torch's
    argmax on a CPU.
    """
    best = channels[0].clone()
    labels = torch.zeros(best.shape, dtype=kind, device=best.device)
    for number, channel in enumerate(channels[1:], start=1):
        labels.masked_fill_(channel > best, number)
        torch.maximum(best, channel, out=best)
    return labels


def _steps(
    size: Sequence[int], roi: Sequence[int], overlap: float | Sequence[float]
) -> tuple[int, ...]:
    """The steps between windows along each axis, as MONAI computes them: at least one voxel.  Along an axis where one
    window covers the image, the step is the window's size.
    """
    overlaps = overlap if isinstance(overlap, list | tuple) else [overlap] * len(roi)
    return tuple(
        r if r == n else max(1, int(r * (1 - o)))
        for n, r, o in zip(size, roi, overlaps, strict=True)
    )
