# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""The names of result files: users keep the results of several tickets in one folder, so one name is one content."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
from click.testing import CliRunner

from dss_broker.dispatch_section import Modality
from dss_client.commands.services import own_service as main
from dss_provider.new_folder import make

Change = Callable[[sitk.Image], object]

EMPTY = """
from dss_provider import *
import numpy as np

def segment(image):
    empty = np.zeros(image.array.shape, np.uint8)
    found = [Segmentation(empty, {{1: "lung"}})]
    return Result(segmentations=found, images={{"Map": empty.astype({kind})}})
"""


@pytest.fixture
def files_of(tmp_path: Path) -> Callable[..., dict[str, bytes]]:
    """The new files of the result for an image, made by a function that returns empty arrays."""
    make(tmp_path / "own", Modality.ANY)

    def tried(
        image: sitk.Image, *options: str, kind: str = "np.uint8", suffix: str = ".nii.gz"
    ) -> dict[str, bytes]:
        (tmp_path / "own/algorithm.py").write_text(EMPTY.format(kind=kind), encoding="utf-8")
        scan, out = tmp_path / f"scan{suffix}", tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        sitk.WriteImage(image, str(scan))
        words = ["test", str(tmp_path / "own"), str(scan), "--output", str(out), *options]
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output
        found = [*out.glob("seg_*"), *out.glob("image_map_*")]
        assert len(found) == 2
        return {path.name: path.read_bytes() for path in found}

    return tried


def scan(change: Change = lambda _: None) -> sitk.Image:
    made = sitk.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(3, 4, 5))
    change(made)
    return made


CHANGES: list[Change] = [
    lambda made: made.SetOrigin((0, 0, 75)),
    lambda made: made.SetSpacing((1, 1, 2.5)),
    lambda made: made.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1)),
]


@pytest.mark.parametrize(("suffix", "changes"), [(".nii.gz", CHANGES), (".mha", CHANGES[:1])])
def test_equal_arrays_in_other_grids_have_other_names(
    files_of: Callable[..., dict[str, bytes]], changes: list[Change], suffix: str
) -> None:
    first = files_of(scan(), suffix=suffix)
    others = [name for change in changes for name in files_of(scan(change), suffix=suffix)]

    assert len({*first, *others}) == 2 * (1 + len(changes))
    assert files_of(scan(), suffix=suffix) == first


def test_equal_arrays_of_other_shapes_and_types_have_other_names(
    files_of: Callable[..., dict[str, bytes]],
) -> None:
    turned = sitk.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(5, 4, 3))

    found = [*files_of(scan()), *files_of(turned), *files_of(scan(), kind="np.float32")]

    assert len({name for name in found if name.startswith("image_")}) == 3
    assert len({name for name in found if name.startswith("seg_")}) == 2


def test_a_series_is_named_apart_from_its_time_point(
    files_of: Callable[..., dict[str, bytes]],
) -> None:
    series = sitk.JoinSeries([scan(), scan(), scan()])

    assert not set(files_of(scan())) & set(files_of(series, "--time-point", "1"))
