"""The nodule of a real CT, as four radiologists drew it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from dss_inference.registry import load

pytestmark = pytest.mark.shared_data


def test_the_large_nodule_of_a_real_lung_is_the_first_candidate(
    shared_data: Path, tmp_path: Path
) -> None:
    known = json.loads((shared_data / "lidc/LIDC-IDRI-0003_nodules.json").read_text())
    nodule = next(nodule for nodule in known if nodule["in_slab"])
    image = shared_data / "lidc/LIDC-IDRI-0003_slab.nii.gz"

    outcome = load("nodule-detection", "cpu", 2).run(
        image, tmp_path, {}, lambda *_: None, lambda: False
    )

    told = re.search(r"centre (\S+), (\S+), (\S+) mm", outcome.notes[0].text)
    assert told is not None
    place = [float(word) for word in told.groups()]
    assert np.linalg.norm(np.array(nodule["center_lps"]) - place) < 5
    findings = json.loads((tmp_path / "findings.json").read_text())
    diameter_mm = findings["findings"][0]["diameter_mm"]
    assert diameter_mm == pytest.approx(nodule["diameter_mm"], rel=0.16)
