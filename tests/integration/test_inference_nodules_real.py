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
    centre = next(nodule["center_lps"] for nodule in known if nodule["in_slab"])
    image = shared_data / "lidc/LIDC-IDRI-0003_slab.nii.gz"

    outcome = load("nodule-detection", "cpu", 2).run(
        image, tmp_path, {}, lambda *_: None, lambda: False
    )

    told = re.search(r"centre (\S+), (\S+), (\S+) mm", outcome.notes[0].text)
    assert told is not None
    assert np.linalg.norm(np.array(centre) - [float(word) for word in told.groups()]) < 5
