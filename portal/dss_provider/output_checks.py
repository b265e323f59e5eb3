"""Checks the parts of an algorithm's result before they are written to files and a workspace.  Each fault raises
AlgorithmFailed with a sentence for the user, in which ``what`` names the part.
"""

import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from dss_datastore import file_names
from dss_provider.algorithm import Array
from dss_provider.errors import AlgorithmFailed
from dss_provider.outcome import Point, Rgb

LARGEST_LABEL = 65535
LONGEST_NAME = 200
MOST_FILES = 200
"""Largest number of files that are attached to the log of one ticket."""


def plain_name(name: object, what: str) -> str:
    """``name`` as text.  Raises AlgorithmFailed if it is blank, longer than LONGEST_NAME, or has characters that cannot
    be printed, which ITK-SNAP or an XML file cannot represent.
    """
    text = str(name)
    if not text.strip() or not text.isprintable() or len(text) > LONGEST_NAME:
        raise AlgorithmFailed(
            f"{what} is called {text[:40]!a}; a name is 1 to {LONGEST_NAME} characters of plain text."
        )
    return text


def colour(rgb: object, what: str) -> Rgb | None:
    """``rgb`` as three whole numbers from 0 to 255, or None.  Raises AlgorithmFailed for anything else."""
    if rgb is None:
        return None
    try:
        numbers = [float(part) for part in rgb]  # type: ignore[attr-defined]  # whatever a provider wrote
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != 3 or not all(0 <= n <= 255 and n == int(n) for n in numbers):
        raise AlgorithmFailed(
            f"{what} has the colour {ascii(rgb)[:60]}; red, green and blue from 0 to 255 are needed."
        )
    return (int(numbers[0]), int(numbers[1]), int(numbers[2]))


def point(value: object, what: str) -> Point:
    """``value`` as three numbers.  Raises AlgorithmFailed unless they are finite."""
    try:
        numbers = [float(number) for number in value]  # type: ignore[attr-defined]  # whatever a provider wrote
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != 3 or not all(math.isfinite(number) for number in numbers):
        raise AlgorithmFailed(
            f"{what} is at {ascii(value)[:80]}; three finite numbers are needed (x, y, z in LPS, mm)."
        )
    return (numbers[0], numbers[1], numbers[2])


def require_few(count: int) -> None:
    """Raises AlgorithmFailed if ``count`` is above MOST_FILES, because a user would not read so many files."""
    if count > MOST_FILES:
        raise AlgorithmFailed(
            f"There are {count} files to attach to the ticket's log; at most {MOST_FILES} are possible. Pack them into one "
            "archive."
        )


def file_name(name: object, others: Iterable[str]) -> str:
    """``name`` unchanged.  Raises AlgorithmFailed unless every operating system can store a file of that name beside
    files with the names ``others``.
    """
    fault = file_names.problem(name) if isinstance(name, str) else "it is no text"
    if not fault and (other := file_names.same_file(str(name), others)):
        fault = f"some systems take it for '{other}'"
    if fault:
        raise AlgorithmFailed(f"{ascii(name)[:60]} is no plain name of a file: {fault}.")
    return str(name)


def formula_in(name: str, content: bytes) -> str:
    """A warning about a table (.csv, .tsv) with a cell in its first MOST_TABLE_BYTES that a spreadsheet would run as a
    formula; "" if there is none, and for other files.  The file is not changed, because another program may need the
    cell as it is.
    """
    if not name.lower().endswith((".csv", ".tsv")):
        return ""
    for cell in _CELL.findall(content[:MOST_TABLE_BYTES].decode(errors="replace")):
        if cell[:1] in _FORMULA and not _is_number(cell):
            return (
                f"The table '{name}' has a cell that a spreadsheet takes for a formula: "
                f"{cell[:40]!a}. Import its columns as text."
            )
    return ""


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


_CELL = re.compile(r"""[^,;\t\r\n"']+""")
_FORMULA = ("=", "+", "-", "@")
MOST_TABLE_BYTES = 2**20


def as_labels(value: object, shape: tuple[int, ...]) -> Array:
    """``value`` as an array of labels, uint8 or uint16.  Raises AlgorithmFailed if values are not whole numbers from 0
    to 65535, or if the shape is not ``shape``.
    """
    array = _numbers(value, "The segmentation", shape)
    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype.kind == "f":
        odd = ~np.isfinite(array) | (array != np.rint(array))
        if odd.any():
            raise AlgorithmFailed(
                f"The segmentation has values that are no whole numbers, such as {array[odd][0]:g}; labels are 0 to "
                f"{LARGEST_LABEL}."
            )
    lowest, highest = int(array.min()), int(array.max())
    if lowest < 0 or highest > LARGEST_LABEL:
        raise AlgorithmFailed(
            f"The segmentation has values from {lowest} to {highest}; labels are 0 to {LARGEST_LABEL}."
        )
    return array.astype(np.uint8 if highest < 256 else np.uint16)


def as_image(value: object, name: str, shape: tuple[int, ...]) -> Array:
    """``value`` as an array of a type that NIfTI, NRRD and ITK-SNAP support: float32, or the smallest type of integers
    that holds the values.  Raises AlgorithmFailed for NaN, infinite or too large values, and if the shape is not
    ``shape``.
    """
    what = f"The image '{name}'"
    array = _numbers(value, what, shape)
    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            found = array.astype(np.float32)
        if not np.isfinite(found).all():
            raise AlgorithmFailed(
                f"{what} has values that are no finite numbers (NaN, or too large); give each voxel one."
            )
        return found
    return _narrowest(array, what)


def _narrowest(array: Array, what: str) -> Array:
    lowest, highest = int(array.min()), int(array.max())
    for kind in (np.uint8, np.int16, np.uint16, np.int32, np.uint32):
        if np.iinfo(kind).min <= lowest and highest <= np.iinfo(kind).max:
            return array.astype(kind)
    raise AlgorithmFailed(f"{what} has values from {lowest} to {highest}, beyond 32 bits.")


def _numbers(value: object, what: str, shape: tuple[int, ...]) -> Array:
    try:
        array: Array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise AlgorithmFailed(f"{what} is {type(value).__name__}; an array is needed.") from error
    if array.dtype.kind not in "biuf":
        raise AlgorithmFailed(f"{what} has values of type {array.dtype}; numbers are needed.")
    if array.shape != shape:
        hint = "; it seems to be (x, y, z), transpose it" if array.shape == shape[::-1] else ""
        raise AlgorithmFailed(
            f"{what} has the shape {array.shape}, the image {shape} (z, y, x){hint}."
        )
    return array


def mesh_arrays(points: object, triangles: object, what: str) -> tuple[Array, Array]:
    """The points and triangles of a mesh as arrays.  Raises AlgorithmFailed unless they are (n, 3) numbers and (m, 3)
    indices of points.
    """
    found, cells = np.asarray(points), np.asarray(triangles)
    wrong: Any = None
    if found.ndim != 2 or found.shape[1] != 3 or found.dtype.kind not in "iuf":
        wrong = f"points {found.shape} {found.dtype}; (n, 3) numbers"
    elif cells.ndim != 2 or cells.shape[1] != 3 or cells.dtype.kind not in "iu":
        wrong = f"triangles {cells.shape} {cells.dtype}; (m, 3) whole numbers"
    elif cells.size and (int(cells.min()) < 0 or int(cells.max()) >= len(found)):
        wrong = f"triangles of the points {cells.min()} to {cells.max()}; 0 to {len(found) - 1}"
    if wrong:
        raise AlgorithmFailed(f"{what} has {wrong} are needed.")
    return found, cells
