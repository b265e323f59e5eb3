# mypy: allow-untyped-calls
# (MONAI annotates only a part of its functions)
"""A MONAI segmentation bundle as a ``Bundle``.  It uses the bundle's own transforms, inferer and network.

Entries that read or write files or control the run (dataset, dataloader, evaluator, handlers) are not used: the image
and the answer are passed in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose

from dss_broker.messages import Label, Note
from dss_images.default_colours import default_colour
from dss_inference.bundle import BundleOutcome, Progress, Stages
from dss_inference.ct.counting import voxels_by_value
from dss_inference.ct.reading import Ct, read_ct
from dss_inference.ct.region import region_of
from dss_inference.ct.writing import write_segmentation
from dss_inference.device.compute_thread import ComputeThread
from dss_inference.device.runner import device_name, is_out_of_memory, memory_errors
from dss_inference.errors import InferenceError, IsCancelled, innermost
from dss_inference.monai_bundles.argmax_only import (
    inverts,
    needs_only_argmax,
    without_argmax,
    without_interpolated_labels,
)
from dss_inference.monai_bundles.bundle_parts import BundleParts
from dss_inference.monai_bundles.folder import BundleFolder
from dss_inference.monai_bundles.labelling import (
    LabelMap,
    label_map,
    require_all_channels,
    require_not_activated,
)
from dss_inference.monai_bundles.network_input import (
    as_tensor,
    in_grid_of,
    prepared_image,
    require_own_grid,
)
from dss_inference.monai_bundles.network_watch import count_batches, watch_network
from dss_inference.monai_bundles.output_channels import Rule, is_resampled_when_saved
from dss_inference.monai_bundles.seen import seen_part, unseen_notes
from dss_inference.monai_bundles.window_inference import NetworkOutput, WindowInference
from dss_inference.pictures import picture_report
from dss_inference.worker_metrics import note_batch


@dataclass(frozen=True, kw_only=True)
class _Segmented:
    """A label map, and warnings for the user about what the network has not seen."""

    labels: LabelMap
    notes: tuple[Note, ...]


class MonaiSegmentation:
    """One segmentation bundle with its loaded network.  ``compute`` is the device's thread, which all bundles share;
    None: a thread of its own.
    """

    def __init__(
        self, folder: BundleFolder, device: str, compute: ComputeThread | None = None
    ) -> None:
        self._folder = folder
        self._compute = compute or ComputeThread()
        self._device = torch.device(device)
        parts = BundleParts(folder, device)
        self._key = parts.image_key
        self._network = parts.network()
        self._preprocess = parts.make("preprocessing")
        self._channels = folder.channels
        self._postprocess = without_interpolated_labels(
            parts.make("postprocessing").flatten(), from_start=self._channels.holds_labels
        )
        self._resamples = is_resampled_when_saved(folder.config)
        self._infer = WindowInference(
            parts.make("inferer"),
            self._network,
            self._device,
            channels=self._channels.count,
            may_take_argmax=self._channels.rule == Rule.LARGEST
            and needs_only_argmax(self._postprocess),
            memory=self._compute.memory,
        )

    @property
    def name(self) -> str:
        return self._folder.name

    @property
    def device(self) -> str:
        return device_name(self._device)

    def run(
        self,
        image_path: Path,
        output_dir: Path,
        parameters: dict[str, str],
        progress: Progress,
        cancelled: IsCancelled,
    ) -> BundleOutcome:
        stages = Stages(progress, cancelled)
        stages.enter(0.0, "reading the image")
        ct = read_ct(image_path, region_of(parameters))
        found = stages.on_device(
            self._compute, lambda: self._segment(ct, stages, progress, cancelled)
        )
        stages.enter(0.9, "writing the segmentation")
        voxels = found.labels.voxels
        labels = self._labels(voxels, ct.grid.voxel_ml)
        return BundleOutcome(
            segmentation=write_segmentation(voxels, ct, output_dir),
            labels=labels,
            reports=picture_report(ct, voxels, labels, output_dir, parameters),
            notes=tuple(self._notes(found, ct.grid.voxel_ml)),
            stage_seconds=stages.seconds(),
            peak_memory_bytes=stages.peak_memory_bytes,
        )

    @memory_errors()
    @torch.inference_mode()
    def _segment(
        self, ct: Ct, stages: Stages, progress: Progress, cancelled: IsCancelled
    ) -> _Segmented:
        """Run the bundle in the device's thread.  Returns the label map in the order of ``ct.hu``.  Raises
        InferenceError if a part of the bundle fails or its output does not determine a label map, MemoryError,
        Cancelled, and the network's errors.
        """
        stages.enter(0.05, "preparing the image")
        image = as_tensor(ct)
        data = self._transformed("preprocessing", self._preprocess, {self._key: image})
        prepared = prepared_image(data, self._key)
        stages.enter(0.15, "running the network")
        note = partial(note_batch, self.name)
        batches = count_batches(self._infer.inferer, prepared)
        with watch_network(self._network, batches, progress, cancelled, note):
            answer = self._answer(prepared)
        if not answer.is_argmax:
            self._check_channels(len(answer.values))
            lowest, highest = (float(value) for value in torch.aminmax(answer.values))
            require_not_activated(lowest, highest, self._channels)
        stages.enter(0.8, "going back to the image's grid")
        data["pred"] = MetaTensor(answer.values, meta=prepared.meta)
        postprocess = without_argmax(self._postprocess) if answer.is_argmax else self._postprocess
        network_channels = self._channels.count if answer.is_argmax else len(answer.values)
        pred = self._postprocessed(postprocess, data, network_channels)
        pred = in_grid_of(image, pred, prepared) if self._resamples else pred
        require_own_grid(pred, prepared, image, inverts=inverts(postprocess))
        seen = seen_part(postprocess, data, prepared, image)
        found = label_map(pred, self._channels, network_channels, ct.hu.shape, seen)
        return _Segmented(labels=found, notes=unseen_notes(seen, ct))

    def _postprocessed(
        self, postprocess: Compose, data: dict[str, MetaTensor], network_channels: int
    ) -> torch.Tensor:
        """The network's answer, which has ``network_channels`` channels, after the steps of ``postprocess``.  Raises
        InferenceError if a step fails or leaves out channels.
        """
        for step in postprocess.transforms:
            data = self._transformed("postprocessing", Compose([step]), data)
            require_all_channels(len(data["pred"]), network_channels)
        return data["pred"]

    def _answer(self, prepared: MetaTensor) -> NetworkOutput:
        """The network's output for the preprocessed image.  Raises InferenceError if the network cannot take it; errors
        for exhausted memory, and those of the GPU itself, pass unchanged.
        """
        try:
            return self._infer(prepared[None])
        except (ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
            if is_out_of_memory(error) or "CUDA" in str(error):
                raise
            text = (str(error).strip().splitlines() or [""])[0].rstrip(".")
            raise InferenceError(
                f"The network of '{self._folder.name}' fails with {type(error).__name__}: {text}."
            ) from error

    def _transformed(
        self, part: str, transforms: Compose, data: dict[str, MetaTensor]
    ) -> dict[str, MetaTensor]:
        """The result of ``transforms``, the bundle's preprocessing or postprocessing (``part``).  Raises InferenceError
        instead of a KeyError or RuntimeError; but an error for exhausted memory, and any other kind of error, passes
        unchanged.
        """
        try:
            made: dict[str, MetaTensor] = transforms(data)
        except (KeyError, RuntimeError) as error:
            why = innermost(error)
            if is_out_of_memory(why):
                raise
            if isinstance(why, KeyError):
                what_happened = f"asks for {why}; there are {' and '.join(map(repr, data))}"
            else:
                what_happened = f"fails with {type(why).__name__}: {str(why).rstrip('.')}"
            raise InferenceError(f"The {part} of '{self._folder.name}' {what_happened}.") from error
        return made

    def _check_channels(self, channels: int) -> None:
        """Raises InferenceError unless the network gives as many ``channels`` as the metadata name, or one.  One is
        refused, too, if the metadata name several labels whose channels are independent, or if the postprocessing
        takes an argmax or a softmax: of one channel that gives no label anywhere, or one everywhere.
        """
        named = self._channels.count
        if channels == 1 and self._channels.compares:
            raise InferenceError(
                f"The network of '{self._folder.name}' gives one channel, but its postprocessing compares several (argmax "
                "or softmax): its postprocessing needs a sigmoid or a threshold."
            )
        one = channels == 1 and (
            self._channels.rule != Rule.INDEPENDENT or len(self._channels.labels) == 1
        )
        if channels != named and not one:
            raise InferenceError(
                f"The network of '{self._folder.name}' gives {channels} channels, but its metadata name {named}."
            )

    def _labels(self, found: npt.NDArray[np.uint8], voxel_ml: float) -> tuple[Label, ...]:
        counts = voxels_by_value(found)
        return tuple(
            Label(
                value=value,
                name=name,
                rgb=default_colour(value),
                volume_ml=round(float(counts[value]) * voxel_ml, 1),
            )
            for value, name in self._folder.labels.items()
        )

    def _notes(self, found: _Segmented, voxel_ml: float) -> Iterator[Note]:
        yield from found.notes
        if not found.labels.voxels.any():
            yield Note(level="warning", text="Nothing was found: no voxel has a label.")
        yield Note(level="info", text=self._origin())
        for value, voxels in found.labels.hidden.items():
            text = (
                f"{voxels * voxel_ml:.1f} ml of '{self._folder.labels[value]}' lie in smaller labels, and are shown "
                "as these: the bundle's labels may overlap."
            )
            yield Note(level="info", text=text)

    def _origin(self) -> str:
        return f"Segmented by the MONAI bundle '{self._folder.title}' {self._folder.version}."
