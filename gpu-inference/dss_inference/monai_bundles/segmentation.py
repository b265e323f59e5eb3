# mypy: allow-untyped-calls
# (MONAI ships no types)
"""A MONAI segmentation bundle as a ``Bundle``: its own transforms, inferer and network.

What reads or writes files, and what drives the bundle (dataset, dataloader, evaluator, handlers), is
left out: the image is handed over in memory, and the answer comes back the same way.
"""

import colorsys
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.bundle.config_parser import ConfigParser
from monai.data.meta_tensor import MetaTensor

from dss_broker.messages import Label, Note
from dss_inference.bundle import Outcome, Progress, Stages
from dss_inference.compute import ComputeThread
from dss_inference.errors import Cancelled, InferenceError
from dss_inference.images import Ct, read_ct, write_segmentation
from dss_inference.measuring import note_batch
from dss_inference.monai_bundles.folder import BundleFolder
from dss_inference.monai_bundles.inferring import Inferring
from dss_inference.monai_bundles.settling import for_winners, needs_only_winners
from dss_inference.runner import memory_errors

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_FILES = ("LoadImage", "SaveImage")
_GOLDEN = 0.618034  # neighbours in a list of colours that steps by it are easy to tell apart


class MonaiSegmentation:
    """One bundle, its network loaded once and kept."""

    def __init__(
        self, folder: BundleFolder, device: str, compute: ComputeThread | None = None
    ) -> None:
        self._folder = folder
        self._compute = compute or ComputeThread()
        self._device = torch.device(device)
        self._parser = _parser(folder, device)
        self._network = _network(self._parser, folder, self._device)
        self._preprocess = self._parser.get_parsed_content("preprocessing")
        self._postprocess = self._parser.get_parsed_content("postprocessing")
        self._infer = Inferring(
            self._parser.get_parsed_content("inferer"),
            self._network,
            self._device,
            channels=max(folder.labels) + 1,
            may_settle=needs_only_winners(self._postprocess),
        )

    @property
    def name(self) -> str:
        return self._folder.name

    @property
    def device(self) -> str:
        if self._device.type == "cuda":
            return f"{self._device} ({torch.cuda.get_device_name(self._device)})"
        return str(self._device)

    def run(
        self,
        image_path: Path,
        output_dir: Path,
        parameters: dict[str, str],  # noqa: ARG002  (none is known)
        progress: Progress,
        cancelled: Callable[[], bool],
    ) -> Outcome:
        stages = Stages(progress, cancelled)
        stages.enter(0.0, "reading the image")
        ct = read_ct(image_path)
        found = stages.alone(self._compute, lambda: self._segment(ct, stages, progress, cancelled))
        stages.enter(0.9, "writing the segmentation")
        return Outcome(
            segmentation=write_segmentation(found, ct, output_dir),
            labels=self._labels(found, ct.grid.voxel_ml),
            notes=(Note(level="info", text=self._origin()),),
            stage_seconds=stages.seconds(),
            peak_memory_bytes=stages.peak_memory_bytes,
        )

    @memory_errors()
    @torch.inference_mode()
    def _segment(
        self, ct: Ct, stages: Stages, progress: Progress, cancelled: Callable[[], bool]
    ) -> npt.NDArray[np.uint8]:
        """Values (z, y, x) in the order of ``ct.hu``."""
        key = str(self._parser.get("image_key", "image"))
        stages.enter(0.05, "preparing the image")
        data = self._preprocess({key: as_tensor(ct)})
        stages.enter(0.15, "running the network")
        note = partial(note_batch, self.name)
        with _watched(self._network, self._windows(data[key]), progress, cancelled, note):
            answer = self._infer(data[key][None])
        stages.enter(0.8, "going back to the image's grid")
        data["pred"] = MetaTensor(answer.values, meta=data[key].meta)
        postprocess = for_winners(self._postprocess) if answer.settled else self._postprocess
        return _values(postprocess(data)["pred"], ct.hu.shape)

    def _windows(self, prepared: Any) -> int:
        """How often the inferer will call the network; 1 if it does not say."""
        roi = getattr(self._infer.inferer, "roi_size", None)
        if roi is None:
            return 1
        overlap = self._infer.inferer.overlap
        overlaps = overlap if isinstance(overlap, list | tuple) else [overlap] * 3
        count = 1
        for n, r, o in zip(prepared.shape[1:], roi, overlaps, strict=True):
            count *= math.ceil(max(0, n - r) / max(1, int(r * (1 - o)))) + 1
        return math.ceil(count / int(self._infer.inferer.sw_batch_size))

    def _labels(self, found: npt.NDArray[np.uint8], voxel_ml: float) -> tuple[Label, ...]:
        counts = np.bincount(found.ravel(), minlength=256)
        return tuple(
            Label(
                value=value,
                name=name,
                rgb=colour(value),
                volume_ml=round(float(counts[value]) * voxel_ml, 1),
            )
            for value, name in self._folder.labels.items()
        )

    def _origin(self) -> str:
        return f"Segmented by the MONAI bundle '{self._folder.title}' {self._folder.version}."


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
    return MetaTensor(voxels, affine=torch.from_numpy(_LPS_TO_RAS @ affine), meta=meta)


def colour(value: int) -> tuple[int, int, int]:
    """Red, green, blue 0..255; always the same for a value."""
    red, green, blue = colorsys.hsv_to_rgb(value * _GOLDEN % 1.0, 0.6, 0.9)
    return round(red * 255), round(green * 255), round(blue * 255)


def _parser(folder: BundleFolder, device: str) -> Any:
    parser = ConfigParser()
    parser.read_config(str(folder.config))
    parser["bundle_root"] = str(folder.root)
    parser["device"] = f"$torch.device('{device}')"
    for part in ("preprocessing", "postprocessing"):
        transforms = parser.get(f"{part}#transforms")
        if not isinstance(transforms, list):
            raise InferenceError(f"The bundle '{folder.name}' has no list of {part} transforms.")
        kept = [t for t in transforms if not str(t.get("_target_", "")).startswith(_FILES)]
        if part == "preprocessing" and not any("ChannelFirst" in str(t["_target_"]) for t in kept):
            kept.insert(0, {"_target_": "EnsureChannelFirstd", "keys": "@image_key"})
        parser[f"{part}#transforms"] = kept
    return parser


def _network(parser: Any, folder: BundleFolder, device: torch.device) -> torch.nn.Module:
    if folder.weights.suffix == ".ts":
        scripted: torch.nn.Module = torch.jit.load(str(folder.weights), map_location=device)
        return scripted.eval()
    network: torch.nn.Module = parser.get_parsed_content("network")
    try:
        state = torch.load(folder.weights, map_location=device, weights_only=True)
        network.load_state_dict(state.get("model", state))
    except (RuntimeError, ValueError, AttributeError) as error:
        raise InferenceError(f"The weights of '{folder.name}' do not fit its network.") from error
    return network.eval()


def _values(pred: Any, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """One channel (x, y, z) of labels, or one for each label, as (z, y, x)."""
    array = np.asarray(pred)
    values = array[0] if array.shape[0] == 1 else array.argmax(0)
    found = np.ascontiguousarray(values.transpose(2, 1, 0)).round().astype(np.uint8)
    if found.shape != shape:
        raise InferenceError("The bundle's answer does not have the size of the image.")
    return found


@contextmanager
def _watched(
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
