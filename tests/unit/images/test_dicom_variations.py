"""Generated DICOM folders: what comes of each is exact, resampled with a note, or refused with a reason."""

import re
import sys
from collections import Counter
from itertools import product
from pathlib import Path

import pytest

from dss_images.dicom.errors import DicomRefused
from dss_images.dicom.reading import Volume, read
from support.dicom_cases import KINDS, Case, case
from support.dicom_truth import require_exact, require_resampled

pytestmark = pytest.mark.slow

SEEDS = range(8)
MOST_REFUSED = 0.4
SLICES_NAMED = re.compile(r"InstanceNumber \d+|frame \d+|\d{5}")
"""By number, or by the name of a file that has none; generated names have five digits."""


def attempt(made: Case) -> Volume | DicomRefused:
    try:
        return read(made.source)
    except DicomRefused as refusal:
        return refusal


def judge(made: Case) -> str:
    """``exact``, ``resampled`` or ``refused``.  Fails if it is none of these, or not allowed."""
    answer = attempt(made)
    if isinstance(answer, DicomRefused):
        assert SLICES_NAMED.search(str(answer)), str(answer)
        assert not made.must_be_exact, str(answer)
        return "refused"
    if any("was resampled" in note.text for note in answer.notes):
        assert not made.must_be_exact
        require_resampled(answer.image, made.wanted)
        return "resampled"
    require_exact(answer.image, made.wanted)
    return "exact"


def test_no_variation_is_silently_wrong_and_few_are_refused(tmp_path: Path) -> None:
    refused: Counter[str] = Counter()
    wrong: list[str] = []
    for kind, seed in product(KINDS, SEEDS):
        made = case(kind, seed, tmp_path / kind / str(seed))
        try:
            refused[kind] += judge(made) == "refused"
        except AssertionError as error:
            wrong.append(f"{kind}, seed {seed}: {error}")

    for kind in KINDS:
        sys.stdout.write(f"{kind:<28} {refused[kind] / len(SEEDS):>5.0%} refused\n")
    assert wrong == []
    assert len(SEEDS) * len(KINDS) >= 100
    assert sum(refused.values()) <= MOST_REFUSED * len(SEEDS) * len(KINDS)
