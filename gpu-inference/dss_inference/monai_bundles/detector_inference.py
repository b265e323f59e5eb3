# mypy: allow-untyped-calls
# (MONAI annotates only a part of its functions)
"""Runs the detector of a MONAI detection bundle within the free memory."""

import copy
import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from monai.inferers.inferer import SlidingWindowInferer

from dss_inference.device.memory import Memory
from dss_inference.errors import InferenceError
from dss_inference.monai_bundles import boxes as bx
from dss_inference.monai_bundles.memory_fallback import Attempt, MemoryFallback
from dss_inference.monai_bundles.monai_patches import forget_anchors
from dss_inference.monai_bundles.network_watch import NOT_NUMBERS, window_size
from dss_inference.monai_bundles.window_batch import WindowBatch

if TYPE_CHECKING:
    from monai.apps.detection.networks.retinanet_detector import RetinaNetDetector


class DetectorInference:
    """Runs the network of a detector on an image.  ``fallback`` repeats a run that does not fit into memory with fewer
    windows or on the CPU.
    """

    def __init__(self, detector: "RetinaNetDetector", device: torch.device, memory: Memory) -> None:
        """``detector`` is MONAI's ``RetinaNetDetector``, or one like it; ``memory`` is that of ``device``."""
        self._detector = detector
        self._inferer = detector.inferer
        # At most as many windows as the bundle says, because a window may be as large as an image.
        own = int(getattr(self._inferer, "sw_batch_size", 1))
        self._batch = WindowBatch(first=own, most=own, memory=memory)
        windowed = self._inferer is not None
        self.fallback = MemoryFallback(detector, device, self._batch, memory, windowed=windowed)

    def inferer_for(self, image: torch.Tensor) -> SlidingWindowInferer | None:
        """The inferer that divides an image (c, x, y, z) into windows; None if the detector has none, or if the image
        has no more voxels than one window.

        A single pass is quicker, and has no borders between windows.
        """
        inferer = self._inferer
        size = image.shape[1:]
        if inferer is None or math.prod(size) <= math.prod(window_size(inferer, size)):
            return None
        return inferer

    def __call__(self, image: torch.Tensor) -> list[bx.DetectedBox]:
        """The boxes in ``image`` (c, x, y, z), in its voxel indices.  Raises MemoryError if no attempt fits,
        InferenceError if a corner or a score is no finite number, and the network's errors.
        """
        inferer = self.inferer_for(image)
        self._batch.choose()
        found = self.fallback.first_that_fits(lambda each: self._boxes(image, inferer, each))
        if found is None:
            raise MemoryError("no way to run the detector fits into memory")
        return found

    def _boxes(
        self, image: torch.Tensor, inferer: SlidingWindowInferer | None, attempt: Attempt
    ) -> list[bx.DetectedBox]:
        forget_anchors(self._detector)
        if inferer is not None:
            used = self._detector.inferer = copy.copy(inferer)
            used.sw_batch_size, used.sw_device = attempt.batch, attempt.device
            used.device = (
                inferer.device or attempt.sums_on
            )  # a bundle may choose the device on which outputs are summed
        on_device = image.to(attempt.device)
        (found,) = self._detector([on_device], use_inferer=inferer is not None)
        return self._as_boxes(found)

    def _as_boxes(self, found: dict[str, torch.Tensor]) -> list[bx.DetectedBox]:
        """Convert the detector's boxes, whose corners are x, y, z, x, y, z.  Raises InferenceError if a value is no
        number.
        """
        keys = (self._detector.target_box_key, self._detector.pred_score_key)
        corners, scores = (found[key].float().cpu().numpy().astype(np.float64) for key in keys)
        if not (np.isfinite(corners).all() and np.isfinite(scores).all()):
            raise InferenceError(NOT_NUMBERS)
        kinds = found[self._detector.target_label_key].cpu().numpy()
        return [
            bx.DetectedBox(low=corner[:3], high=corner[3:], score=float(score), label=int(kind))
            for corner, score, kind in zip(corners, scores, kinds, strict=True)
        ]
