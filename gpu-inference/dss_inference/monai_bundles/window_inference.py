# mypy: allow-untyped-calls
# (MONAI annotates only a part of its functions)
"""Runs the inferer and the network of a MONAI segmentation bundle within the free memory."""

import copy
import math
from dataclasses import dataclass

import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers.inferer import Inferer, SlidingWindowInferer, SlidingWindowInfererAdapt

from dss_inference.device.memory import Memory, ProcessMemory
from dss_inference.errors import InferenceError
from dss_inference.monai_bundles.memory_fallback import Attempt, MemoryFallback
from dss_inference.monai_bundles.slab_argmax import slab_argmax
from dss_inference.monai_bundles.window_batch import WindowBatch

MOST_BYTES = 2 << 30
"""If the channels of an image take more bytes than this, or do not fit into memory, only their argmax is kept, slab by
slab, provided that the inferer is one of _PLAIN_WINDOWS and the postprocessing needs no more.
"""
_PLAIN_WINDOWS = (SlidingWindowInferer, SlidingWindowInfererAdapt)
"""Inferers whose windows ``slab_argmax`` knows.  A class derived from them, such as SliceInferer, may use others."""

_GPU_BATCH, _MOST_ON_GPU = 4, 16
"""First and largest number of windows at once on a GPU."""
MOST_ON_CPU = 2
"""Largest number of windows at once on a CPU.  With four, each window took a tenth to a half more time (UNets of 72 and
96 voxels, two cores).
"""


@dataclass(frozen=True, kw_only=True)
class NetworkOutput:
    """The output of a network for one image: channels (c, x, y, z) on the CPU; if ``is_argmax``, one channel with the
    number of the largest channel.
    """

    values: torch.Tensor
    is_argmax: bool


class WindowInference:
    """Runs a bundle's inferer with its network; ``fallback`` plans the attempts until one fits into memory."""

    def __init__(
        self,
        inferer: Inferer,
        network: torch.nn.Module,
        device: torch.device,
        *,
        channels: int,
        may_take_argmax: bool,
        memory: Memory | None = None,
    ) -> None:
        """``may_take_argmax``: the postprocessing needs only the largest of ``channels``.

        ``memory`` is that of ``device``; None: of the process.
        """
        memory = memory or ProcessMemory()
        self._network = network
        self._channels = channels
        self.inferer = copy.copy(inferer)
        self._windows = self.inferer if isinstance(self.inferer, SlidingWindowInferer) else None
        self._may_take_argmax = may_take_argmax and type(inferer) in _PLAIN_WINDOWS
        own = None if self._windows is None else int(self._windows.sw_batch_size)
        self._batch = _batch_of(own, device, memory)
        windowed = self._windows is not None
        self.fallback = MemoryFallback(network, device, self._batch, memory, windowed=windowed)
        self._set_batch()

    def __call__(self, image: torch.Tensor) -> NetworkOutput:
        """The network's output for ``image`` (1, c, x, y, z): its channels, or only their argmax by the rule of
        MOST_BYTES.  Raises MemoryError if no attempt fits, and the network's errors.
        """
        image = image.as_tensor() if isinstance(image, MetaTensor) else image
        self._batch.choose()
        answer = self._answer(image)
        self._set_batch()
        return answer

    def _answer(self, image: torch.Tensor) -> NetworkOutput:
        size_bytes = 4 * self._channels * math.prod(image.shape[2:])
        windows = self._windows if self._may_take_argmax else None
        if windows is None or size_bytes <= MOST_BYTES:
            values = self.fallback.first_that_fits(lambda each: self._channels_of(image, each))
            if values is not None:
                return NetworkOutput(values=values, is_argmax=False)
        if windows is not None:
            values = self.fallback.first_that_fits(
                lambda each: self._argmax_of(image, windows, each)
            )
            if values is not None:
                return NetworkOutput(values=values, is_argmax=True)
        raise MemoryError("no way to run the network fits into memory")

    def _set_batch(self) -> None:
        """Set the inferer's batch size, from which the number of batches of the next image is computed."""
        if self._windows is not None:
            self._windows.sw_batch_size = self._batch.size

    def _channels_of(self, image: torch.Tensor, attempt: Attempt) -> torch.Tensor:
        inferer = self.inferer
        if self._windows is not None:
            inferer = windows = copy.copy(self._windows)
            windows.sw_batch_size = attempt.batch
            windows.sw_device, windows.device = attempt.device, attempt.sums_on
        answer = inferer(image.to(attempt.sums_on), self._network)
        return _only_output(answer, image.ndim).float().cpu()

    def _argmax_of(
        self, image: torch.Tensor, windows: SlidingWindowInferer, attempt: Attempt
    ) -> torch.Tensor:
        return slab_argmax(
            image,
            self._network,
            windows,
            batch=attempt.batch,
            device=attempt.device,
            sums_on=attempt.sums_on,
        )[None].float()  # the shape and type of AsDiscreted's answer


def _only_output(answer: object, axes: int) -> torch.Tensor:
    """The channels (c, x, y, z) in the output of a network for one image, (1, c, x, y, z), so with ``axes`` axes; it may
    stand in a list of length 1.  Raises InferenceError for anything else, such as outputs of several layers.
    """
    outputs = answer if isinstance(answer, list | tuple) else [answer]
    only = outputs[0] if len(outputs) == 1 else None
    if not isinstance(only, torch.Tensor) or only.ndim != axes or len(only) != 1:
        what = f"{len(outputs)} values" if len(outputs) != 1 else type(only).__name__
        if isinstance(only, torch.Tensor):
            what = f"a tensor of shape {tuple(only.shape)}"
        raise InferenceError(
            f"The bundle's network answers with {what}; one tensor with its channels at each voxel (1, c, x, y, z) is needed."
        )
    return only[0]


def _batch_of(own: int | None, device: torch.device, memory: Memory) -> WindowBatch:
    """The WindowBatch for ``device``.  ``own`` is the batch size in the bundle's configuration; None if the inferer
    uses no windows.
    """
    if own is None or device.type == "cpu":
        most = min(MOST_ON_CPU, own or 1)
        return WindowBatch(first=most, most=most, memory=memory)
    return WindowBatch(first=max(_GPU_BATCH, own), most=max(_MOST_ON_GPU, own), memory=memory)
