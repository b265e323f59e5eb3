# mypy: allow-untyped-calls
# (MONAI annotates only a part of its functions)
"""A detector that is too large for the memory: fewer windows at once, then the CPU, never a dead worker."""

import pytest
import torch
from monai.apps.detection.utils.anchor_utils import AnchorGeneratorWithAnchorShape

from dss_inference.device.memory import ProcessMemory
from dss_inference.monai_bundles.detector_inference import DetectorInference
from dss_inference.monai_bundles.monai_patches import replace_torchvision

replace_torchvision()
from monai.apps.detection.networks.retinanet_detector import RetinaNetDetector  # noqa: E402  (needs the replacement)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
CPU = torch.device("cpu")
PLACE = (5, 20, 11)


class Hungry(torch.nn.Module):
    """Finds a box of 8 voxels round each bright voxel; fails with more than ``most`` windows."""

    spatial_dims, num_classes, num_anchors, size_divisible = 3, 1, 1, 1

    def __init__(self, most: int) -> None:
        super().__init__()
        self.given: list[int] = []
        self.most = most

    def forward(self, windows: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        self.given.append(len(windows))
        if len(windows) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        still = torch.zeros_like(windows).repeat(1, 6, 1, 1, 1)
        return {"classification": [20 * windows - 10], "box_regression": [still]}


def detecting(network: Hungry, device: torch.device = CPU) -> DetectorInference:
    anchors = AnchorGeneratorWithAnchorShape(feature_map_scales=[1], base_anchor_shapes=[[8, 8, 8]])
    detector = RetinaNetDetector(network, anchors)
    detector.set_target_keys(box_key="box", label_key="label")
    detector.set_box_selector_parameters(score_thresh=0.5, nms_thresh=0.1)
    detector.set_sliding_window_inferer((16, 16, 16), sw_batch_size=4, overlap=0.25)
    return DetectorInference(detector.eval(), device, ProcessMemory())


def image(*size: int) -> torch.Tensor:
    made = torch.zeros(1, *size)
    made[0, *PLACE] = 1
    return made


@pytest.mark.parametrize("most", [4, 2, 1])
def test_the_windows_are_halved_until_they_fit_and_the_answer_is_the_same(most: int) -> None:
    network = Hungry(most)

    (box,) = detecting(network)(image(28, 28, 28))

    assert ((box.low + box.high) / 2).tolist() == pytest.approx(PLACE, abs=0.51)
    assert set(network.given[-4:]) == {most}
    assert network.given[0] == 4


def test_what_fits_in_no_way_is_a_memory_error_and_the_next_image_works() -> None:
    network = Hungry(most=0)
    detect = detecting(network)
    with pytest.raises(MemoryError):
        detect(image(28, 28, 28))

    network.most = 4

    assert len(detect(image(28, 28, 28))) == 1
    assert len(detect(image(28, 28, 40))) == 1


def test_an_image_that_is_no_larger_than_a_window_is_seen_at_once() -> None:
    network = Hungry(most=4)
    small = torch.zeros(1, 12, 12, 12)
    small[0, 6, 6, 6] = 1

    assert len(detecting(network)(small)) == 1
    assert network.given == [1]


def test_a_gpu_is_followed_by_its_host_and_then_by_the_cpu() -> None:
    gpu = torch.device("cuda:0")

    tried = detecting(Hungry(most=4), gpu).fallback.planned()

    assert [(a.batch, a.device, a.sums_on) for a in tried] == [
        (4, gpu, gpu),
        (2, gpu, gpu),
        (1, gpu, gpu),
        (1, gpu, CPU),
        (1, CPU, CPU),
    ]
