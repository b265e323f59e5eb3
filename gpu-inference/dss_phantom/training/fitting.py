# mypy: allow-untyped-calls
# (MONAI annotates only a part of its functions)
"""Trains the network that a MONAI bundle's configuration describes, with samples made from phantoms."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from monai.bundle.config_parser import ConfigParser
from monai.losses.dice import DiceCELoss

from dss_phantom.training.variation import Person, sample_of

BATCH = 2
_HIGHEST_RATE = 4e-3


def fit(
    config: Path,
    people: Sequence[Person],
    *,
    steps: int,
    seed: int,
    on_step: Callable[[int, float], None],
) -> torch.nn.Module:
    """Train the network that the configuration file ``config`` describes, and return it in evaluation mode.  The same
    arguments on the same machine give the same weights.

    ``on_step`` is called after each step with the step's number, from 0, and its loss.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = network_of(config)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-4)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, _HIGHEST_RATE, steps, pct_start=0.1)
    loss_of = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False)
    for step in range(steps):
        images, truth = _batch(people, rng)
        loss = loss_of(network(images), truth)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        rates.step()
        on_step(step, float(loss))
    return network.eval()


def network_of(config: Path) -> torch.nn.Module:
    """The network that the entry ``network_def`` of the bundle's configuration file ``config`` describes, untrained."""
    parser = ConfigParser()
    parser.read_config(str(config))
    network: torch.nn.Module = parser.get_parsed_content("network_def")
    return network


def save_half(network: torch.nn.Module, path: Path) -> None:
    """Save the network's weights to ``path`` in half precision, which halves the file without measurable loss.

    The network was trained with arrays (z, y, x); its kernels are transposed for MONAI's, which are (x, y, z).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({name: _turned(value).half() for name, value in network.state_dict().items()}, path)


def _turned(value: torch.Tensor) -> torch.Tensor:
    """``value`` with its last three axes in reverse order if it has five axes, as the kernel of a convolution has;
    otherwise ``value`` itself.
    """
    return value.permute(0, 1, 4, 3, 2).contiguous() if value.ndim == 5 else value


def _batch(people: Sequence[Person], rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    samples = [sample_of(people[int(rng.integers(len(people)))], rng) for _ in range(BATCH)]
    images = torch.from_numpy(np.stack([s.image for s in samples])[:, None])
    truth = torch.from_numpy(np.stack([s.truth for s in samples])[:, None].astype(np.int64))
    return images, truth
