# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Makes a synthetic chest CT (phantom) with its true segmentation, in a given size, spacing and orientation."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_inference.device.runner import Runner
from dss_inference.errors import InferenceError
from dss_phantom.anatomy import CHANNELS, Anatomy, grow_chest
from dss_phantom.nodules import Frame, Nodule, grow_nodules, paint

_BLUR_MM = 1.2
_NOISE_HU = 22.0
_ROWS_AT_ONCE = 8
LEFT, RIGHT = 1, 2
_PATIENT_AXIS = dict(zip("RLAPIS", "xxyyzz", strict=True))


@dataclass(frozen=True, kw_only=True)
class PhantomSpec:
    """Which phantom to make.  ``size`` (voxels) and ``spacing_mm`` are along the image's own axes x, y, z.

    ``orientation`` says in which direction of the patient each axis points, such as LPS, RAS or PIR; ``oblique_deg``
    tilts all three axes.  The middle of the image is the middle of the chest; without ``origin_mm`` it is at 0, 0, 0.
    ``seed`` is the person.  ``nodules`` is the largest number of nodules, ``padding_hu`` the value outside the
    scanner's circle.
    """

    size: tuple[int, int, int] = (128, 128, 104)
    spacing_mm: tuple[float, float, float] = (3.0, 3.0, 3.0)
    origin_mm: tuple[float, float, float] | None = None
    orientation: str = "LPS"
    oblique_deg: float = 0.0
    seed: int = 1
    padding_hu: int = -1024
    nodules: int = 0


@dataclass(frozen=True, kw_only=True)
class Phantom:
    """A synthetic chest CT.  ``ct`` is in HU, int16; ``truth`` is 1 in the left lung, 2 in the right lung, uint8, in
    the same grid.  ``left_ml`` and ``right_ml`` are the true volumes in the image; ``nodules`` may lie outside of it.
    """

    ct: sitk.Image
    truth: sitk.Image
    left_ml: float
    right_ml: float
    nodules: tuple[Nodule, ...] = ()


def make_phantom(spec: PhantomSpec, runner: Runner) -> Phantom:
    """The phantom for ``spec``; the same spec gives the same phantom.  Raises InferenceError for an unknown
    orientation.
    """
    direction = _direction(spec)
    hu = np.empty(spec.size[::-1], np.int16)
    truth = np.empty(spec.size[::-1], np.uint8)
    anatomy = grow_chest(spec.seed)
    matrix, shift = _to_fields(spec, direction, anatomy)
    rng = np.random.default_rng([spec.seed, 1])
    soft_mm = max(_BLUR_MM, max(spec.spacing_mm) * 0.9)
    nodules = grow_nodules(anatomy, spec.nodules, spec.seed)
    to_mm = direction @ np.diag(spec.spacing_mm)
    frame = Frame(to_mm=to_mm, first_mm=-to_mm @ ((np.array(spec.size) - 1) / 2))
    for z in range(0, hu.shape[0], _ROWS_AT_ONCE):
        rows = slice(z, min(z + _ROWS_AT_ONCE, hu.shape[0]))
        seen = runner.sample(anatomy.fields, matrix, shift, hu.shape, rows)
        fields = dict(zip(CHANNELS, seen, strict=True))
        truth[rows] = _truth(fields)
        clean = _scanned(fields, soft_mm)
        paint(clean, truth[rows] > 0, nodules, frame.moved(z), soft_mm)
        hu[rows] = clean + _noise(clean.shape, rng)
    hu[:, _outside_view(spec)] = spec.padding_hu
    voxel_ml = math.prod(spec.spacing_mm) / 1000
    return Phantom(
        ct=_image(hu, spec, direction),
        truth=_image(truth, spec, direction),
        left_ml=float((truth == LEFT).sum()) * voxel_ml,
        right_ml=float((truth == RIGHT).sum()) * voxel_ml,
        nodules=nodules,
    )


def _direction(spec: PhantomSpec) -> npt.NDArray[np.float64]:
    """The direction matrix (3, 3) of the image: its columns are the image's axes x, y, z in LPS.  Raises InferenceError
    for an unknown orientation.
    """
    if sorted(_PATIENT_AXIS.get(c, "?") for c in spec.orientation) != ["x", "y", "z"]:
        raise InferenceError(f"{spec.orientation!r} is no orientation; LPS or RAS would be.")
    cosines = sitk.DICOMOrientImageFilter.GetDirectionCosinesFromOrientation(spec.orientation)
    turn = sitk.Euler3DTransform()
    turn.SetRotation(math.radians(spec.oblique_deg) / 2, 0.0, math.radians(spec.oblique_deg))
    tilt = np.array(turn.GetMatrix()).reshape(3, 3)
    return np.asarray(tilt @ np.array(cosines).reshape(3, 3), np.float64)


def _to_fields(
    spec: PhantomSpec, direction: npt.NDArray[np.float64], anatomy: Anatomy
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Matrix (3, 3) and shift (3,) from voxel indices of the image to indices of the anatomy's fields, both (x, y, z)."""
    matrix = direction @ np.diag(spec.spacing_mm) / anatomy.step_mm
    middle = (np.array(spec.size) - 1) / 2
    first = np.array(anatomy.first_mm[::-1]) / anatomy.step_mm
    return matrix, -matrix @ middle - first


def _truth(fields: dict[str, npt.NDArray[np.float32]]) -> npt.NDArray[np.uint8]:
    left, right = fields["left"] > 0, fields["right"] > 0
    return (LEFT * left + RIGHT * (right & ~left)).astype(np.uint8)


def _scanned(fields: dict[str, npt.NDArray[np.float32]], soft_mm: float) -> npt.NDArray[np.float32]:
    """HU (z, y, x) computed from the fields, by name of the channel, with edges blurred over ``soft_mm``, as a scanner
    and its voxels blur them.
    """

    def share(name: str) -> npt.NDArray[np.float32]:
        soft: npt.NDArray[np.float32] = np.clip(0.5 + fields[name] / soft_mm, 0, 1)
        return soft

    hu = np.full(fields["body"].shape, -1000, np.float32)
    for name, tissue in (("table", -550.0), ("body", -100.0), ("flesh", fields["soft"])):
        hu += share(name) * (tissue - hu)
    for name, tissue in (("bone", 480.0), ("gas", -990.0)):
        hu += share(name) * (tissue - hu)
    lungs = share("left") + share("right")
    airy = fields["lung"] + share("vessel") * (40 - fields["lung"])
    hu += np.minimum(lungs, 1) * (airy - hu)
    hu += share("airway") * share("body") * (-985 - hu)
    return hu


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Noise in HU that is correlated between neighbouring voxels of a slice, as after a reconstruction kernel."""
    white = rng.standard_normal(shape, np.float32)
    white[:, 1:] += white[:, :-1]
    white[:, :, 1:] += white[:, :, :-1]
    return white * np.float32(_NOISE_HU / 2)


def _outside_view(spec: PhantomSpec) -> npt.NDArray[np.bool_]:
    """True for the pixels (y, x) of a slice outside the circle that a scanner reconstructs; they get padding."""
    y, x = np.ogrid[-1 : 1 : spec.size[1] * 1j, -1 : 1 : spec.size[0] * 1j]
    return np.asarray(x**2 + y**2 > 1.02)


def _image(
    voxels: npt.NDArray[np.generic], spec: PhantomSpec, direction: npt.NDArray[np.float64]
) -> sitk.Image:
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(spec.spacing_mm)
    image.SetDirection(direction.ravel().tolist())
    middle_mm = direction @ ((np.array(spec.size) - 1) / 2 * spec.spacing_mm)
    image.SetOrigin(spec.origin_mm or (-middle_mm).tolist())
    return image
