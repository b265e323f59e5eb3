"""Voxelwise computations on the device, a CPU or a GPU.  The rules for lungs and nodules and the worker use torch only
through this module.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from dss_inference.device.compute_thread import ComputeThread
from dss_inference.device.memory import ProcessMemory
from dss_inference.errors import InferenceError, innermost

_SLAB_VOXELS = 16_000_000
"""Number of voxels computed at once; it limits the memory beyond the image itself."""
NEAR, CERTAIN = 127, 254
"""Values of the argument ``coarse`` of ``Runner.refine``, which says what they mean."""
_NEAR_SHARE = 20


def device_name(device: torch.device) -> str:
    """The device as people know it: ``cpu``, or a GPU and its name."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)


def is_out_of_memory(error: BaseException) -> bool:
    """True for each kind of error by which torch reports exhausted memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "allocate memory" in text or "out of memory" in text or "ALLOC_FAILED" in text
    )


@contextmanager
def memory_errors() -> Iterator[None]:
    """A context, or decorator, that raises MemoryError instead of torch's errors for exhausted memory; other errors
    pass.
    """
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError is one
        why = innermost(error)  # MONAI wraps what a transform raises
        if is_out_of_memory(error) or is_out_of_memory(why):
            raise MemoryError(str(why)) from error
        raise


class GpuMemory:
    """The memory that this process has allocated on a GPU through torch: the ``Memory`` of that GPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def begin(self) -> None:
        torch.cuda.reset_peak_memory_stats(self._device)

    def peak_bytes(self) -> int:
        return torch.cuda.max_memory_allocated(self._device)

    def held_bytes(self) -> int:
        return torch.cuda.memory_allocated(self._device)

    def free_bytes(self) -> int:
        """Free memory of the GPU, including what torch has reserved and does not use."""
        free, _ = torch.cuda.mem_get_info(self._device)
        cached_bytes = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(
            self._device
        )
        return int(free + cached_bytes)


class Runner:
    """Computes on the device with the name ``device`` (``cpu`` or ``cuda:N``); takes and returns numpy arrays (z, y,
    x).  Its computations raise MemoryError if the device's memory is exhausted.
    """

    def __init__(self, device: str) -> None:
        self.device_name = device
        self._device = torch.device(device)
        self.compute = ComputeThread(
            GpuMemory(self._device) if self._device.type == "cuda" else ProcessMemory()
        )

    @property
    def device(self) -> str:
        """As ``device_name``."""
        return device_name(self._device)

    def release(self) -> None:
        """Return memory of the GPU that torch has reserved but does not use, so that other programs can use it."""
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    @memory_errors()
    def block_mean(
        self, voxels: npt.NDArray[np.int16], factors: tuple[int, int, int]
    ) -> npt.NDArray[np.int16]:
        """The mean of each block of ``factors`` voxels (z, y, x), rounded.  A block at the far end may be incomplete;
        then it is the mean of the voxels that there are.
        """
        if factors == (1, 1, 1):
            return np.ascontiguousarray(voxels)
        rows = slab_rows(voxels.shape, step=factors[0])
        starts = range(0, voxels.shape[0], rows)
        return np.concatenate([self._block_mean(voxels[z : z + rows], factors) for z in starts])

    def _block_mean(
        self, slab: npt.NDArray[np.int16], factors: tuple[int, int, int]
    ) -> npt.NDArray[np.int16]:
        values = self._on_device(slab).float()[None]
        means = functional.avg_pool3d(values, factors, ceil_mode=True, count_include_pad=False)
        return means[0].round().to(torch.int16).cpu().numpy()

    @memory_errors()
    def resized(
        self, voxels: npt.NDArray[np.generic], shape: tuple[int, ...]
    ) -> npt.NDArray[np.float32]:
        """``voxels`` resampled to ``shape`` (z, y, x) over the same extent, interpolated linearly."""
        values = self._on_device(voxels).float()[None, None]
        return functional.interpolate(values, shape, mode="trilinear")[0, 0].cpu().numpy()

    @memory_errors()
    def refine(
        self,
        hu: npt.NDArray[np.int16],
        coarse: npt.NDArray[np.uint8],
        labels: npt.NDArray[np.uint8],
        factors: tuple[int, int, int],
        threshold_hu: int,
    ) -> npt.NDArray[np.uint8]:
        """The label of every voxel of ``hu``: that of the voxel's block in ``labels``, or 0 for none.

        ``coarse`` and ``labels`` (z, y, x) have one value for each block of ``factors`` voxels.  ``coarse`` is 0 (no
        voxel is labelled), NEAR (a voxel is labelled if it is below ``threshold_hu``) or CERTAIN (a voxel is labelled
        whatever its HU); it is interpolated between blocks, so that the border may cross a block.
        """
        answer = np.empty(hu.shape, np.uint8)
        rows = slab_rows(hu.shape, step=factors[0])
        for z in range(0, hu.shape[0], rows):
            part = slice(z, min(z + rows, hu.shape[0]))
            answer[part] = self._refine(hu[part], coarse, factors, part, threshold_hu)
            answer[part] *= _repeated(labels, factors, part)[:, : hu.shape[1], : hu.shape[2]]
        return answer

    def _refine(
        self,
        hu: npt.NDArray[np.int16],
        coarse: npt.NDArray[np.uint8],
        factors: tuple[int, int, int],
        rows: slice,
        threshold_hu: int,
    ) -> npt.NDArray[np.bool_]:
        share = self._enlarged(coarse, factors, rows)[:, : hu.shape[1], : hu.shape[2]]
        inside = (share > _NEAR_SHARE) & (self._on_device(hu) < threshold_hu)
        inside |= share > (NEAR + CERTAIN) // 2
        flags: npt.NDArray[np.bool_] = inside.cpu().numpy()
        return flags

    def _enlarged(
        self, coarse: npt.NDArray[np.uint8], factors: tuple[int, int, int], rows: slice
    ) -> torch.Tensor:
        """``coarse`` interpolated linearly to full resolution, for the slices ``rows`` of the full image only."""
        first, last = rows.start // factors[0] - 1, -(-rows.stop // factors[0]) + 1
        index = np.clip(np.arange(first, last), 0, coarse.shape[0] - 1)
        values = self._on_device(coarse[index]).float()[None, None]
        fine = functional.interpolate(values, scale_factor=factors, mode="trilinear")[0, 0]
        offset = rows.start - first * factors[0]
        return fine[offset : offset + rows.stop - rows.start]

    @memory_errors()
    def sample(
        self,
        fields: npt.NDArray[np.float32],
        matrix: npt.NDArray[np.float64],
        shift: npt.NDArray[np.float64],
        shape: tuple[int, ...],
        rows: slice,
    ) -> npt.NDArray[np.float32]:
        """The channels ``fields`` (c, z, y, x), interpolated at the voxels of the slices ``rows`` of an image of
        ``shape`` (z, y, x).

        ``matrix`` and ``shift`` map indices (x, y, z) of the image to those of the fields.  Outside the fields, the
        values at their border are used.
        """
        z, y, x = (
            torch.arange(r.start, r.stop, device=self._device, dtype=torch.float32)
            for r in (rows, slice(0, shape[1]), slice(0, shape[2]))
        )
        grid = torch.empty((len(z), len(y), len(x), 3), device=self._device)
        for axis, (size, row, offset) in enumerate(
            zip(fields.shape[:0:-1], matrix.tolist(), shift.tolist(), strict=True)
        ):
            index = (row[2] * z + offset)[:, None, None] + (row[1] * y)[:, None] + row[0] * x
            grid[..., axis] = index * (2 / (size - 1)) - 1
        values = functional.grid_sample(
            self._on_device(fields)[None], grid[None], padding_mode="border", align_corners=True
        )
        return values[0].cpu().numpy()

    def _on_device(self, voxels: npt.NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(voxels)).to(self._device)


def _repeated(
    labels: npt.NDArray[np.uint8], factors: tuple[int, int, int], rows: slice
) -> npt.NDArray[np.uint8]:
    """The ``labels`` of blocks, repeated for each voxel of the slices ``rows``."""
    index = np.arange(rows.start, rows.stop) // factors[0]
    plane = labels.repeat(factors[1], axis=1).repeat(factors[2], axis=2)
    return np.asarray(plane[index], np.uint8)


def slab_rows(shape: tuple[int, ...], *, step: int) -> int:
    """Number of slices of an image of ``shape`` (z, y, x) to compute at once: a multiple of ``step``, with at most
    ``_SLAB_VOXELS`` voxels unless ``step`` slices have more.
    """
    slices = _SLAB_VOXELS // (math.prod(shape[1:]) or 1)
    return max(1, slices // step) * step


def gpu_memory_bytes(device: str, kind: str) -> int:
    """Memory of the GPU ``device`` in bytes.  ``kind`` is ``total``, ``free``, or ``peak``: the most that this
    process has reserved.
    """
    if kind == "peak":
        return torch.cuda.max_memory_reserved(device)
    free, total = torch.cuda.mem_get_info(device)
    return int(total if kind == "total" else free)


def gpu_utilisation(device: str) -> float:
    """Fraction of the last second in which the GPU computed, 0..1.  Raises the errors of NVIDIA's library."""
    return torch.cuda.utilization(device) / 100


def runner_for(device: str, threads: int) -> Runner:
    """The runner for ``device``, which is ``auto`` (a GPU if there is one), ``cpu`` or ``cuda:N``.  Limits torch in this
    process to ``threads`` CPU threads.  Raises InferenceError if there is no such device.
    """
    torch.set_num_threads(threads)
    if device == "auto":
        return Runner("cuda:0" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda"):
        _require_gpu(device)
    return Runner(device)


def _require_gpu(device: str) -> None:
    beginning = f"The device {device} was asked for, but"
    if not torch.cuda.is_available():
        raise InferenceError(f"{beginning} no GPU was found.")
    last = torch.cuda.device_count() - 1
    if (torch.device(device).index or 0) > last:
        raise InferenceError(f"{beginning} the last GPU is cuda:{last}.")
