"""What a function returns is judged before it becomes a file: each fault is a sentence for the user."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dss_images.mesh.reading import read_mesh
from dss_provider import Image, Label, Mesh, Result, Segmentation
from dss_provider.errors import AlgorithmFailed
from dss_provider.outcome import AlgorithmOutcome
from dss_provider.return_value import store_return_value

SHAPE = (4, 5, 6)
IMAGE = Image(array=np.zeros(SHAPE), spacing_mm=(1.0, 1.0, 1.0))
MAP = np.ones(SHAPE, int)


def returned(result: object, folder: Path) -> AlgorithmOutcome:
    return store_return_value(result, IMAGE, folder)


def labelled(name: Any, rgb: Any = None) -> Segmentation:
    return Segmentation(MAP, {1: Label(name=name, rgb=rgb)})


def with_image(values: Any) -> Result:
    return Result(images={"map": values})


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        (labelled("two\nlines"), r"The label 1 is called 'two\\nlines'; a name is 1 to 200"),
        (labelled("nul\0"), r"The label 1 is called 'nul\\x00'"),
        (labelled("half \ud800"), r"The label 1 is called 'half \\ud800'"),
        (labelled(" "), "The label 1 is called ' '"),
        (labelled("x" * 201), "a name is 1 to 200 characters"),
        (labelled("Lung", (300, 0, 0)), r"colour \(300, 0, 0\); red, green and blue from 0 to 255"),
        (labelled("Lung", (0.5, 0, 0)), "The label 1 has the colour"),
        (labelled("Lung", "red"), "The label 1 has the colour 'red'"),
        (labelled("Lung", (1, 2)), "The label 1 has the colour"),
        (Segmentation(MAP, ["Lung"]), "named by list; a dictionary by value is needed"),  # type: ignore[arg-type]  # a mistake of an algorithm
        (Segmentation(MAP, called="a\tb"), r"A segmentation is called 'a\\tb'"),
        (Segmentation(MAP - 2), "values from -1 to -1; labels are 0 to 65535"),
        (Segmentation(MAP * 65536), "values from 65536 to 65536"),
        (Segmentation(MAP * 0.5), r"no whole numbers, such as 0\.5; labels are 0 to 65535"),
        (Segmentation(MAP * np.nan), "values that are no whole numbers, such as nan"),
        (Segmentation(MAP, {"1": "X"}), r"named by '1'; a dictionary by value is needed"),  # type: ignore[dict-item]  # a mistake of an algorithm
        (Segmentation(MAP * np.inf), "values that are no whole numbers"),
        (Segmentation(MAP * 1j), "values of type complex128; numbers are needed"),
        (Segmentation(MAP.astype(object)), "values of type object; numbers are needed"),
        (Segmentation(MAP.astype(str)), "numbers are needed"),
        (Segmentation(MAP[1:]), r"has the shape \(3, 5, 6\), the image \(4, 5, 6\) \(z, y, x\)\."),
        (Segmentation(MAP.T), r"it seems to be \(x, y, z\), transpose it"),
        (Segmentation(MAP[None]), r"has the shape \(1, 4, 5, 6\)"),
        (Result(segmentations=["lung"]), "One of the segmentations is str"),  # type: ignore[list-item]  # a mistake of an algorithm
        (with_image(MAP * np.nan), "'map' has values that are no finite numbers"),
        (with_image(MAP * 1e300), "'map' has values that are no finite numbers"),
        (with_image(MAP * 2**40), "beyond 32 bits"),
        (with_image(MAP * 1j), "The image 'map' has values of type complex128"),
        (with_image(MAP[1:]), r"The image 'map' has the shape \(3, 5, 6\)"),
        (Result(images=[MAP]), "images are list; a dictionary by name"),  # type: ignore[arg-type]  # a mistake of an algorithm
        (Result(landmarks={"tip": (0, 0, float("nan"))}), "'tip' is at .*nan.*; three finite"),
        (Result(landmarks={"tip": (0, 0)}), "three finite numbers"),  # type: ignore[dict-item]  # a mistake of an algorithm
        (Result(landmarks={"": (0, 0, 0)}), "A landmark is called ''"),
        (Result(files={"../x": ""}), "'../x' is no plain name of a file"),
        (Result(files={"a.csv": "", "A.csv": ""}), "some systems take it for"),
        (Result(files={"a.csv": 3}), "The file 'a.csv' is int; text or bytes"),  # type: ignore[dict-item]  # a mistake of an algorithm
        (Result(meshes={"hull": MAP}), "The mesh 'hull' is ndarray; a Mesh"),  # type: ignore[dict-item]  # a mistake of an algorithm
        (
            Result(meshes={"hull": Mesh(points_mm=np.zeros((3, 2)), triangles=np.zeros((1, 3)))}),
            r"The mesh 'hull' has points \(3, 2\)",
        ),
        (
            Result(meshes={"hull": Mesh(points_mm=np.zeros((3, 3)), triangles=np.zeros((1, 3)))}),
            r"The mesh 'hull' has triangles \(1, 3\) float64",
        ),
        (
            Result(
                meshes={"hull": Mesh(points_mm=np.zeros((3, 3)), triangles=np.array([[0, 1, 3]]))}
            ),
            "triangles of the points 0 to 3; 0 to 2 are needed",
        ),
        (Result(files={f"{n}.txt": "x" for n in range(201)}), "201 files to attach .* at most 200"),
        (Result(), "without anything in it"),
        (None, "returned NoneType; a Segmentation"),
    ],
)
def test_a_fault_is_a_sentence(result: object, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(AlgorithmFailed, match=sentence):
        returned(result, tmp_path)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (MAP > 0, "uint8"),
        (MAP.astype(np.float16), "float32"),
        (MAP.astype(np.longdouble), "float32"),
        (MAP * -5, "int16"),
        (MAP * 60000, "uint16"),
        (MAP * 2**20, "int32"),
        (MAP.astype(">i8"), "uint8"),
    ],
)
def test_an_image_is_kept_in_a_type_that_itk_snap_loads(
    values: Any, kind: str, tmp_path: Path
) -> None:
    found = returned(with_image(values), tmp_path)

    kept_values = np.load(tmp_path / found.images[0].file)
    assert kept_values.dtype.name == kind
    assert (kept_values == values).all()


@pytest.mark.parametrize(
    ("values", "kind"),
    [(MAP * 255, "uint8"), (MAP * 65535, "uint16"), (MAP * 3.0, "uint8"), (MAP > 0, "uint8")],
)
def test_labels_are_kept_in_8_or_16_bits(values: Any, kind: str, tmp_path: Path) -> None:
    found = returned(values, tmp_path)

    assert np.load(tmp_path / found.segmentations[0].file).dtype.name == kind


def test_numbers_of_numpy_are_taken_for_colours_and_places(tmp_path: Path) -> None:
    colour = np.array([1, 2, 3], np.uint8)
    result = Result(
        segmentations=(labelled("Lung", colour),),
        landmarks={"tip": np.array([1, 2, 3])},  # type: ignore[dict-item]  # an array will do
    )

    found = returned(result, tmp_path)

    assert found.segmentations[0].labels[0].rgb == (1, 2, 3)
    assert found.landmarks == {"tip": (1.0, 2.0, 3.0)}


def test_a_mesh_is_written_in_ras(tmp_path: Path) -> None:
    points = np.array([[1.0, 2.0, 3.0], [1, 0, 0], [0, 1, 0]])
    mesh = Mesh(points_mm=points, triangles=np.array([[0, 1, 2]]), rgb=(9, 8, 7))

    found = returned(Result(meshes={"hull": mesh}), tmp_path)

    surface = read_mesh(tmp_path / found.meshes[0].file)
    assert (found.meshes[0].called, found.meshes[0].rgb) == ("hull", (9, 8, 7))
    assert surface.points_mm[0].tolist() == [-1, -2, 3]
    assert surface.corners.tolist() == [0, 1, 2]


def test_a_remark_is_one_short_line(tmp_path: Path) -> None:
    remark = "two\nlines \ud800" + 999 * "x"
    found = returned(Result(segmentations=(Segmentation(MAP),), remarks=remark), tmp_path)

    (remark,) = found.remarks
    assert remark.startswith("two lines")
    assert len(remark) == 500
    assert remark.isprintable()


def test_remarks_that_are_too_many_are_counted(tmp_path: Path) -> None:
    remarks = [f"remark {i}" for i in range(25)]
    found = returned(Result(segmentations=(Segmentation(MAP),), remarks=remarks), tmp_path)

    assert found.remarks == (*remarks[:19], "6 more remarks are not shown.")
