# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""What a program or a container writes is right, or is refused by a sentence before anything is sent."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_provider.algorithm import Array
from dss_provider.errors import AlgorithmFailed
from dss_provider.images import load_array
from dss_provider.outcome import FILES
from dss_provider.output_folder import read_output
from dss_provider.return_value import formulas

SHAPE = (5, 6, 7)


def built(array: object, *, origin: float = 10.0, flip: bool = False) -> sitk.Image:
    made = sitk.GetImageFromArray(np.asarray(array))
    made.SetSpacing((1.5, 1.0, 2.0))
    made.SetOrigin((origin, -20.0, 30.0))
    if flip:
        made.SetDirection((-1, 0, 0, 0, 1, 0, 0, 0, 1))
    return made


def labels(kind: type = np.uint8, value: float = 1) -> Array:
    array: Array = np.zeros(SHAPE, kind)
    array[2, 3, 4] = value
    return array


class Output:
    """The folder of a program, beside the image that it got."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.work, self.image = folder / "out", folder / "work", folder / "in.nii.gz"
        self.folder.mkdir()
        self.work.mkdir()
        sitk.WriteImage(built(np.zeros(SHAPE, np.int16)), str(self.image))

    def write(self, image: sitk.Image, name: str = "segmentation.nii.gz") -> Path:
        sitk.WriteImage(image, str(self.folder / name), True)
        return self.folder / name

    def refusal(self) -> str:
        with pytest.raises(AlgorithmFailed) as caught:
            read_output(self.folder, self.image, self.work, ())
        return str(caught.value)


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output(tmp_path)


def test_single_precision_does_not_move_a_segmentation(output: Output) -> None:
    """It is written anew in the image's very grid."""
    output.write(built(labels(), origin=10.00001))

    (found,) = read_output(output.folder, output.image, output.work, ()).segmentations

    assert (load_array(output.work / found.file) == labels()).all()


def test_whole_numbers_of_any_type_will_do(output: Output) -> None:
    output.write(built(labels(np.float64, 300.0)))

    (found,) = read_output(output.folder, output.image, output.work, ()).segmentations

    assert [label.value for label in found.labels] == [300]


BAD: dict[str, tuple[Callable[[], sitk.Image], str]] = {
    "moved": (lambda: built(labels(), origin=10.05), "does not lie in the image's grid: origin"),
    "flipped": (lambda: built(labels(), flip=True), "grid: direction"),
    "another size": (lambda: built(labels()[1:]), "grid: size (7, 6, 4) instead of (7, 6, 5)"),
    "fractions": (lambda: built(labels(np.float32, 0.5)), "are no whole numbers"),
    "NaN": (lambda: built(labels(np.float32, np.nan)), "not numbers (NaN or infinite)"),
    "below zero": (lambda: built(labels(np.int16, -1)), "values from -1 to 0; labels are 0"),
    "too large": (lambda: built(labels(np.int32, 65536)), "values from 0 to 65536; labels"),
    "RGB": (
        lambda: sitk.Compose([built(labels())] * 3),
        "has the shape (5, 6, 7, 3), the image (5, 6, 7)",
    ),
    "time points": (
        lambda: sitk.JoinSeries([built(labels())] * 2),
        "grid: time points 2 instead of 1",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_segmentation_that_is_wrong_is_refused(output: Output, case: str) -> None:
    made, sentence = BAD[case]
    output.write(made())

    assert sentence in output.refusal()


def test_a_file_that_is_cut_off_is_refused(output: Output) -> None:
    path = output.write(built(labels()))
    path.write_bytes(path.read_bytes()[:-8])

    assert "cannot be used: The image file is damaged" in output.refusal()


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_an_overlay_of_no_numbers_is_refused(output: Output, odd: float) -> None:
    output.write(built(labels()))
    output.write(built(labels(np.float32, odd)), "image_probability.nii.gz")

    assert "The program's image 'probability' cannot be used" in output.refusal()


@pytest.mark.parametrize(
    ("cells", "is_formula"),
    [("a,b\n1,-2.5\n", False), ("a\n=1+1\n", True), ('a\n"@SUM(A1)"\n', True), ("-cmd\n", True)],
)
def test_a_table_that_a_spreadsheet_would_run_is_remarked_on(
    output: Output, cells: str, is_formula: bool
) -> None:
    (output.folder / "table.csv").write_text(cells, encoding="utf-8")

    outcome = read_output(output.folder, output.image, output.work, ())

    assert [("formula" in remark) for remark in outcome.remarks] == [True] * is_formula


@pytest.mark.parametrize("name", ["volumes.csv", "mask.bin"])
def test_a_file_larger_than_the_memory_is_not_read_for_formulas(tmp_path: Path, name: str) -> None:
    (tmp_path / FILES).mkdir()
    with (tmp_path / FILES / name).open("wb") as file:
        file.truncate(64 * 2**20)

    tracemalloc.start()
    found = formulas([name], tmp_path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert found == []
    assert peak_bytes < 16 * 2**20
