# mypy: allow-untyped-calls
# (MONAI and SimpleITK ship no types)
"""Weights in every wrapping that loses nothing, and the true reason where they are none."""

import argparse
import collections
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from dss_inference.__main__ import main
from dss_inference.errors import InferenceError
from dss_inference.monai_bundles import window_inference
from dss_inference.monai_bundles.bundle_checks import open_bundle, problems
from dss_inference.monai_bundles.bundle_parts import BundleParts
from dss_inference.monai_bundles.labelling import label_map
from dss_inference.monai_bundles.output_channels import channels_of
from dss_inference.monai_bundles.segmentation import MonaiSegmentation
from support.builders import write_image
from support.bundle_folders import a_ball, write_bundle

# MONAI warns of its own future and of what it calls in torch.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")

GOOD = {
    "weight": torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1, 1),
    "bias": torch.tensor([0.325, 0.0]),
}
UPRIGHT = (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 19274331\n"


def prefixed(prefix: str, state: dict[str, Any] = GOOD) -> dict[str, Any]:
    return {prefix + name: value for name, value in state.items()}


def saved(root: Path, content: object, **how: Any) -> Path:
    torch.save(content, root / "models" / "model.pt", **how)
    return root


def bundle(tmp_path: Path, content: object) -> Path:
    return saved(write_bundle(tmp_path / "threshold"), content)


WRAPPINGS: dict[str, object] = {
    "alone": GOOD,
    "ordered": collections.OrderedDict(GOOD),
    "model": {"model": GOOD},
    "state_dict": {"state_dict": GOOD, "epoch": 3, "lr": 0.1},
    "net": {"net": GOOD},
    "network": {"network": GOOD},
    "nested": {"model": {"state_dict": GOOD}},
    "module.": prefixed("module."),
    "module. under state_dict": {"state_dict": prefixed("module.")},
    "lightning": {"state_dict": prefixed("model.") | {"loss.weight": torch.ones(2)}},
    "net.": prefixed("net."),
    "compiled in parallel": {"model": prefixed("_orig_mod.module.")},
    "numpy float": {"state_dict": GOOD, "best_metric": np.float64(0.93)},
    "numpy integer": {"net": GOOD, "epoch": np.int64(3)},
    "numpy array": {"state_dict": GOOD, "losses": np.linspace(0, 1, 5, dtype=np.float32)},
    "another name": {"generator": GOOD, "discriminator": {"weight": torch.ones(3)}},
    "a program's options": {"model": GOOD, "args": argparse.Namespace(lr=0.1, loss="dice")},
    "half": {name: value.half() for name, value in GOOD.items()},
}


@pytest.mark.parametrize("name", WRAPPINGS)
@pytest.mark.parametrize("zipped", [True, False])
def test_weights_are_found_in_every_usual_wrapping(tmp_path: Path, name: str, zipped: bool) -> None:
    root = write_bundle(tmp_path / "threshold")
    saved(root, WRAPPINGS[name], _use_new_zipfile_serialization=zipped)

    state = BundleParts(open_bundle(root), "cpu").network().state_dict()

    assert problems(root) == []
    assert torch.allclose(state["weight"], GOOD["weight"])
    assert torch.allclose(state["bias"], GOOD["bias"], atol=1e-3)


class Runs:
    """A pickle of it would run a command."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch ran",)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def _cut_to_half(path: Path) -> None:
    torch.save(GOOD, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flipped(path: Path) -> None:
    """A bit of the numbers; torch itself does not notice it."""
    data = bytearray(path.read_bytes())
    data[data.index(GOOD["bias"].numpy().tobytes())] ^= 4
    path.write_bytes(data)


def _scripted(path: Path) -> None:
    torch.jit.script(torch.nn.Conv3d(1, 2, 1)).save(path)


def _is(content: object) -> Callable[[Path], None]:
    return lambda path: torch.save(content, path)


def _holds(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "git-lfs": (_holds(LFS), "is a Git-LFS pointer and holds none of the 19,274,331 bytes"),
    "empty": (_holds(b""), "is empty (0 bytes)"),
    "web page": (_holds(b"<!DOCTYPE html><html>Sign in</html>"), "is a web page"),
    "another file": (_holds(b"\x93NUMPY\x01\x00"), "is a file that PyTorch has not written"),
    "cut off": (_cut, "is cut off after"),
    "old and cut off": (_cut_to_half, "damaged"),
    "damaged": (_flipped, "is damaged (the checksum of "),
    "code": (_is({"state_dict": GOOD, "hook": Runs()}), "(posix.system), which could run any code"),
    "a kind of dictionary": (
        _is({"model": GOOD, "history": collections.defaultdict(list, loss=[0.3])}),
        "collections.defaultdict), which could run any code",
    ),
    "whole network": (_is(torch.nn.Conv3d(1, 2, 1)), "Conv3d), which could run any code"),
    "torchscript": (_scripted, "holds TorchScript: name it model.ts"),
    "other network": (
        _is({"other": torch.zeros(3)}),
        "2 of its 2 tensors are missing (weight, bias)",
    ),
    "other size": (
        _is({"weight": torch.zeros(3, 1, 1, 1, 1), "bias": torch.zeros(3)}),
        "'weight' has the size (3, 1, 1, 1, 1) instead of (2, 1, 1, 1, 1)",
    ),
    "more layers": (
        _is({"net": prefixed("module.", {**GOOD, "second.bias": torch.zeros(2)})}),
        "the file holds 1 tensors that it does not have (second.bias)",
    ),
    "two that fit": (
        _is({"teacher": GOOD, "student": {n: v + 1 for n, v in GOOD.items()}}),
        "under 2 names (teacher, student), and none of them is a usual one",
    ),
    "no tensors": (_is({"epoch": 3}), "the file holds no tensors"),
    "not a number": (
        _is({**GOOD, "bias": torch.tensor([0.3, float("nan")])}),
        "values that are not numbers (in 'bias')",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_with_weights_is_told_truly_and_by_the_command_line(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spoil, sentence = BROKEN[name]
    root = write_bundle(tmp_path / "threshold")
    spoil(root / "models" / "model.pt")

    with pytest.raises(InferenceError) as refused:
        BundleParts(open_bundle(root), "cpu").network()
    told = CliRunner().invoke(main, ["bundle", "check", str(root)])

    assert sentence in str(refused.value)
    assert str(tmp_path) not in str(refused.value)
    assert sentence in told.stderr
    assert told.exit_code in (1, 2)
    assert not (tmp_path / "ran").exists()


def overflowing(root: Path, sign: float, *, softmax: bool) -> Path:
    """Its weights are numbers; its answers are none where the image is bright, which few windows are."""
    layers = (
        "torch.nn.Conv3d(1, 2, 1), torch.nn.Softmax(1)" if softmax else "torch.nn.Conv3d(1, 2, 1)"
    )
    config = json.loads((root / "configs" / "inference.json").read_text(encoding="utf-8"))
    config["network"] = f"$torch.nn.Sequential({layers})"
    (root / "configs" / "inference.json").write_text(json.dumps(config), encoding="utf-8")
    large = {name: torch.full_like(value, sign * 3e38) for name, value in GOOD.items()}
    return saved(root, prefixed("0.", large))


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("slabs", [False, True])
def test_a_network_that_answers_no_numbers_is_an_error_and_no_empty_segmentation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sign: float, softmax: bool, slabs: bool
) -> None:
    monkeypatch.setattr(window_inference, "MOST_BYTES", 0 if slabs else 2 << 30)
    root = overflowing(write_bundle(tmp_path / "threshold"), sign, softmax=softmax)
    path = write_image(tmp_path / "ct.nii.gz", a_ball(UPRIGHT, (4, 4, 4)))
    opened = MonaiSegmentation(open_bundle(root), "cpu")

    with pytest.raises(InferenceError, match="answered with values that are not numbers"):
        opened.run(path, tmp_path, {}, lambda *_: None, lambda: False)


@pytest.mark.parametrize("value", [300.0, -1.0])
def test_an_answer_that_is_no_label_is_an_error(value: float) -> None:
    channels = channels_of({0: "background", 1: "spleen"}, None, {})

    with pytest.raises(InferenceError, match="labels go from 0 to 255"):
        label_map(np.full((1, 2, 3, 4), value), channels, 1, (4, 3, 2))


def test_an_image_whose_preparation_fails_is_an_error(tmp_path: Path) -> None:
    root = write_bundle(tmp_path / "threshold")
    config = json.loads((root / "configs" / "inference.json").read_text(encoding="utf-8"))
    config["preprocessing"]["transforms"][-1].update(b_min=None, b_max=None, a_min=0, a_max=1e-45)
    (root / "configs" / "inference.json").write_text(json.dumps(config), encoding="utf-8")
    path = write_image(tmp_path / "ct.nii.gz", a_ball(UPRIGHT, (4, 4, 4)))
    opened = MonaiSegmentation(open_bundle(root), "cpu")

    with pytest.raises(InferenceError, match="preparation of the image gives values"):
        opened.run(path, tmp_path, {}, lambda *_: None, lambda: False)
