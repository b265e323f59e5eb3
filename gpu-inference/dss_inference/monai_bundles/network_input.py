# mypy: allow-untyped-calls
# (MONAI annotates only a part of its functions)
"""Converts an image to a tensor for a MONAI bundle's transforms, and checks what the transforms return."""

from collections.abc import Mapping
from itertools import product

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.spatial.array import SpatialResample

from dss_inference.ct.reading import Ct
from dss_inference.errors import InferenceError

_GRID_MM = 0.01
"""Two affines whose entries differ by less, in millimetres, are the same but for rounding."""
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def as_tensor(ct: Ct) -> MetaTensor:
    """The image as a tensor (x, y, z) with its affine (4x4) from voxel indices to RAS in mm, and without a channel
    axis, as MONAI's loader gives it.
    """
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


def prepared_image(data: Mapping[str, object], key: str) -> MetaTensor:
    """The image after preprocessing, entry ``key`` of the transforms' result.  Raises InferenceError if it has no
    affine or has values that are NaN or infinite, KeyError if there is no such entry.
    """
    prepared = data[key]
    if not isinstance(prepared, MetaTensor):
        raise InferenceError(
            "The bundle's preprocessing gives the image without its position in the patient, so that its answer could not "
            "be brought back: leave out track_meta false, and data_type numpy."
        )
    _require_finite(prepared)
    return prepared


def _require_finite(prepared: torch.Tensor) -> None:
    """Raises InferenceError if a value is NaN or infinite, because the network's output would be meaningless."""
    if not bool(torch.isfinite(prepared).all()):
        raise InferenceError(
            "The bundle's preparation of the image gives values that are not numbers, so it was not "
            "segmented. Check its intensity scaling."
        )


def in_grid_of(image: MetaTensor, pred: torch.Tensor, prepared: MetaTensor) -> torch.Tensor:
    """``pred``, a bundle's final answer, resampled to the grid of ``image`` by the nearest voxel, as MONAI's SaveImaged
    does with ``resample``.  An answer without an affine, or not in the grid of ``prepared``, the preprocessed image, is
    given back as it is.

    Raises InferenceError if the answer covers only a part of the image.
    """
    if not isinstance(pred, MetaTensor) or not _is_same_grid(pred, prepared):
        return pred
    size = tuple(image.shape)
    _require_covered(pred, image)
    resample = SpatialResample(mode="nearest", padding_mode="border", align_corners=False)
    found: torch.Tensor = resample(pred, dst_affine=image.affine, spatial_size=size)
    return found


def _is_same_grid(one: MetaTensor, other: MetaTensor) -> bool:
    return one.shape[1:] == other.shape[1:] and _is_close(one.affine, other.affine)


def _is_close(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.allclose(one.double().cpu(), other.double().cpu(), rtol=0, atol=_GRID_MM)


def beyond(pred: MetaTensor, image: MetaTensor) -> float:
    """How far the voxels of ``image`` (x, y, z) lie beyond the outermost voxels of ``pred`` (c, x, y, z), at most, in
    voxels of ``pred``; 0 or less if there are none.
    """
    ends = torch.tensor([[*end, 1.0] for end in product(*((0.0, n - 1.0) for n in image.shape))])
    to_pred = torch.linalg.inv(pred.affine.double().cpu()) @ image.affine.double().cpu()
    at = (ends.double() @ to_pred.T)[:, :3]
    last = torch.tensor(pred.shape[1:], dtype=torch.float64) - 1
    return float(torch.maximum(-at, at - last).max())


def _require_covered(pred: MetaTensor, image: MetaTensor) -> None:
    """Raises InferenceError if a voxel of ``image`` lies more than one voxel of ``pred`` outside the grid of ``pred``."""
    if beyond(pred, image) > 1:
        raise InferenceError(
            "The bundle's answer covers only a part of the image: its preprocessing crops the image, so its "
            "postprocessing needs an Invertd in place of the SaveImaged with resample."
        )


def require_own_grid(
    pred: object, prepared: MetaTensor, image: MetaTensor, *, inverts: bool
) -> None:
    """Raises InferenceError if ``pred``, a bundle's final answer, has another affine than ``image``.  ``label_map``
    checks the size, which alone proves nothing, because it is equal for a mirrored answer.

    An answer without an affine has the grid of ``prepared``, the preprocessed image, unless the postprocessing
    ``inverts`` the preprocessing.
    """
    if not isinstance(pred, MetaTensor):
        pred = image if inverts else prepared
    if not _is_close(pred.affine, image.affine):
        raise InferenceError(
            "The bundle's answer does not lie in the grid of the image: its preprocessing turns or resamples the image, "
            "so its postprocessing needs an Invertd, or a SaveImaged with resample true."
        )
