"""Voxelwise work: in blocks and slabs, with the same answer as at once."""

import numpy as np
import pytest

from dss_inference.device import runner as runner_module
from dss_inference.device.runner import CERTAIN, NEAR, Runner, runner_for
from dss_inference.errors import InferenceError


def test_an_incomplete_block_is_the_mean_of_what_is_there(runner: Runner) -> None:
    voxels = np.array([[[0, 10, 100]]], np.int16)

    assert runner.block_mean(voxels, (1, 1, 2)).tolist() == [[[5, 100]]]


def test_slabs_give_what_the_whole_gives(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    hu = rng.integers(-1000, 200, (13, 10, 9)).astype(np.int16)
    coarse = rng.choice(np.array([0, NEAR, CERTAIN], np.uint8), (5, 4, 3))
    labels = rng.integers(1, 3, (5, 4, 3)).astype(np.uint8)
    whole = runner.refine(hu, coarse, labels, (3, 3, 3), -400)

    monkeypatch.setattr(runner_module, "_SLAB_VOXELS", 300)

    assert np.array_equal(runner.refine(hu, coarse, labels, (3, 3, 3), -400), whole)


def test_what_is_certain_needs_no_air_and_what_is_near_does(runner: Runner) -> None:
    hu = np.array([[[40, 40, -900, -900]]], np.int16)
    coarse = np.array([[[CERTAIN, NEAR, NEAR, 0]]], np.uint8)
    labels = np.array([[[1, 1, 2, 2]]], np.uint8)

    assert runner.refine(hu, coarse, labels, (1, 1, 1), -400).tolist() == [[[1, 0, 2, 0]]]


def test_a_gpu_that_is_not_there_is_missed_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)

    with pytest.raises(InferenceError, match="no GPU was found"):
        runner_for("cuda:0", threads=1)


@pytest.mark.parametrize(("device", "gpus"), [("cuda:1", 1), ("cuda:7", 2)])
def test_a_number_that_no_gpu_has_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, device: str, gpus: int
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)

    with pytest.raises(InferenceError, match=f"the last GPU is cuda:{gpus - 1}"):
        runner_for(device, threads=1)


def test_without_a_gpu_auto_means_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)

    assert runner_for("auto", threads=2).device == "cpu"
