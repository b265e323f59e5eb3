# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""A segmentation of the user's that is damaged is refused: ITK would read other voxels, or never end."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_dispatch.errors import TicketError
from dss_dispatch.ticket_images import label_values

LABELS = np.random.default_rng(1).integers(0, 5, (20, 21, 22)).astype(np.uint8)
PACKED = ("seg.nii.gz", "seg.nrrd", "seg.mha")
PLAIN = ("seg.nii", "raw.nrrd", "raw.mha")


def written(path: Path) -> Path:
    packed = path.name in PACKED
    sitk.WriteImage(sitk.GetImageFromArray(LABELS), path, useCompression=packed)
    return path


@pytest.mark.parametrize("name", [*PACKED, *PLAIN])
def test_what_is_whole_is_read(tmp_path: Path, name: str) -> None:
    assert label_values(written(tmp_path / name)) == {1, 2, 3, 4}


@pytest.mark.parametrize("missing", [4, 12, 500])
@pytest.mark.parametrize("name", [*PACKED, *PLAIN])
def test_what_is_cut_off_is_refused(tmp_path: Path, name: str, missing: int) -> None:
    path = written(tmp_path / name)
    path.write_bytes(path.read_bytes()[:-missing])

    with pytest.raises(TicketError, match=f"'{name}'"):
        label_values(path)


@pytest.mark.parametrize("name", PACKED)
def test_a_bit_that_has_changed_on_the_way_is_noticed(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name)
    data = bytearray(path.read_bytes())
    data[len(data) * 3 // 4] ^= 16
    path.write_bytes(data)

    with pytest.raises(TicketError, match=f"'{name}'"):
        label_values(path)
