# mypy: allow-untyped-calls
# (MONAI annotates only a part of its functions)
"""Finds the part of an image that a MONAI bundle's network has seen, if the preprocessing crops the image.

Outside it, an Invertd fills the network's output with zeros.  A sigmoid of them is 0.5, a label.
"""

from collections.abc import Hashable

import numpy as np
import numpy.typing as npt
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose
from monai.transforms.post.dictionary import Invertd

from dss_broker.messages import Note
from dss_inference.ct.reading import Ct
from dss_inference.monai_bundles.monai_patches import with_nearest_interpolation
from dss_inference.monai_bundles.network_input import beyond
from dss_inference.monai_bundles.postprocessing_steps import PRED

Flags = npt.NDArray[np.bool_]

_HALF_VOXEL = 0.51
"""Half a voxel, and some rounding: an image that was resampled may end that much beyond its last sample."""
_TISSUE_HU = -300
_LEAST_SHARE = 0.02


def seen_part(
    postprocess: Compose, data: dict[str, MetaTensor], prepared: MetaTensor, image: MetaTensor
) -> Flags | None:
    """The voxels (x, y, z) of ``image`` that ``prepared``, the preprocessed image, contains; None if it contains all of
    them, or if nothing inverts the preprocessing.

    ``data`` are the postprocessing's inputs by key.
    """
    inversion = next((step for step in postprocess.transforms if isinstance(step, Invertd)), None)
    if inversion is None or beyond(prepared, image) <= _HALF_VOXEL:
        return None
    everything = MetaTensor(torch.ones((1, *prepared.shape[1:])), meta=prepared.meta)
    inputs: dict[Hashable, torch.Tensor] = dict(data.items())
    inputs[PRED] = everything
    found = with_nearest_interpolation(inversion)(inputs)[PRED]
    seen: Flags = found[0].numpy() > 0.5
    return seen


def unseen_notes(seen: Flags | None, ct: Ct) -> tuple[Note, ...]:
    """A warning for the user that tells how much tissue lies outside ``seen`` (x, y, z); () if that is next to nothing."""
    if seen is None or seen.shape != ct.hu.shape[::-1]:
        return ()
    tissue = ct.hu > _TISSUE_HU
    missed = int(np.count_nonzero(tissue & ~seen.transpose(2, 1, 0)))
    share = missed / max(1, int(np.count_nonzero(tissue)))
    if share < _LEAST_SHARE:
        return ()
    text = (
        f"The bundle looked at a part of the image only: {missed * ct.grid.voxel_ml:.0f} ml of tissue ({share:.0%}) lie "
        "outside of it, and have no label."
    )
    return (Note(level="warning", text=text),)
