# mypy: allow-untyped-calls
"""Most nodules of phantoms that no rule was made on are shown, with few false candidates."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_inference.bundle_catalogue import load
from dss_inference.device.runner import runner_for
from dss_phantom.chest import PhantomSpec, make_phantom

SEEDS = (22, 23)


def test_nine_of_ten_nodules_are_shown_with_four_false_candidates_at_most(tmp_path: Path) -> None:
    found, total, wrong = 0, 0, 0
    bundle = load("nodule-detection", "cpu", 2)
    for seed in SEEDS:
        spec = PhantomSpec(size=(233, 173, 227), spacing_mm=(1.5, 1.5, 1.5), seed=seed, nodules=5)
        phantom = make_phantom(spec, runner_for("cpu", 2))
        sitk.WriteImage(phantom.ct, tmp_path / "ct.nii.gz")

        outcome = bundle.run(tmp_path / "ct.nii.gz", tmp_path, {}, lambda *_: None, lambda: False)

        marks = np.array([mark.position_mm for mark in outcome.landmarks]).reshape(-1, 3)
        hits = np.array(
            [
                np.linalg.norm(marks - n.centre_mm, axis=1) <= max(2.0, n.diameter_mm / 2)
                for n in phantom.nodules
            ]
        )
        found += int(hits.any(axis=1).sum())
        total += len(phantom.nodules)
        wrong += int((~hits.any(axis=0)).sum())

    assert found >= 0.9 * total
    assert wrong <= 4 * len(SEEDS)
