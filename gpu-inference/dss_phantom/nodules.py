"""Adds lung nodules of 4 to 20 mm to a phantom, different ones for each seed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dss_phantom.anatomy import CHANNELS, Anatomy

_SMALLEST_MM, _LARGEST_MM = 4.0, 20.0
_KINDS = (("solid", 30.0, 0.65), ("part-solid", -350.0, 0.15), ("ground glass", -600.0, 0.2))
_VESSEL_MM = -1.0
_APART_MM = 8.0
_TRIES = 20_000


@dataclass(frozen=True, kw_only=True)
class Nodule:
    """One nodule.  ``centre_mm`` (x, y, z) is in LPS from the middle of the chest; ``hu`` is its density.  A nodule
    whose ``kind`` is "part-solid" has a denser core.
    """

    centre_mm: npt.NDArray[np.float64]
    diameter_mm: float
    kind: str
    hu: float

    def depth_mm(self, points_mm: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Depth of the points ``points_mm`` (..., 3), x y z, below the nodule's slightly uneven surface; negative
        outside.
        """
        away = points_mm - self.centre_mm
        length = np.linalg.norm(away, axis=-1)
        bumps = np.sin(away * (9 / self.diameter_mm)).sum(axis=-1)
        return np.asarray(self.diameter_mm / 2 * (1 + 0.05 * bumps) - length, np.float64)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Maps voxel indices (x, y, z) of an image to positions in millimetres: multiply by ``to_mm`` (3, 3), add
    ``first_mm``.
    """

    to_mm: npt.NDArray[np.float64]
    first_mm: npt.NDArray[np.float64]

    def moved(self, slices: int) -> "Frame":
        """The frame of an array whose first slice is ``slices`` later."""
        return Frame(to_mm=self.to_mm, first_mm=self.first_mm + self.to_mm[:, 2] * slices)

    def points_mm(self, box: tuple[slice, ...]) -> npt.NDArray[np.float64]:
        """Positions (z, y, x, 3) of the voxels in ``box``, slices (z, y, x); the last axis is x, y, z in mm."""
        index = np.stack(np.meshgrid(*(np.arange(b.start, b.stop) for b in box), indexing="ij"), -1)
        return np.asarray(index[..., ::-1] @ self.to_mm.T + self.first_mm, np.float64)


def grow_nodules(anatomy: Anatomy, count: int, seed: int) -> tuple[Nodule, ...]:
    """At most ``count`` nodules at random places in the lungs, fewer if no more places are found.  None is in a vessel,
    some are at the pleura, and none is nearer than 8 mm to another; the logarithms of their diameters are uniformly
    distributed.
    """
    rng = np.random.default_rng([seed, 2])
    nodules: list[Nodule] = []
    for point in rng.uniform(0, anatomy.fields.shape[1:], (_TRIES, 3)).astype(int):
        if len(nodules) == count:
            break
        nodule = _nodule(anatomy, point, rng)
        if _fits(nodule, anatomy, point) and all(_apart(nodule, other) for other in nodules):
            nodules.append(nodule)
    return tuple(nodules)


def _nodule(anatomy: Anatomy, point: npt.NDArray[np.intp], rng: np.random.Generator) -> Nodule:
    kind, hu, _ = _KINDS[rng.choice(len(_KINDS), p=[share for _, _, share in _KINDS])]
    centre = (np.array(anatomy.first_mm) + point * anatomy.step_mm)[::-1]
    diameter = float(np.exp(rng.uniform(np.log(_SMALLEST_MM), np.log(_LARGEST_MM))))
    return Nodule(centre_mm=centre, diameter_mm=diameter, kind=kind, hu=hu)


def _fits(nodule: Nodule, anatomy: Anatomy, point: npt.NDArray[np.intp]) -> bool:
    depth = dict(zip(CHANNELS, anatomy.fields[(slice(None), *point)], strict=True))
    lung = max(depth["left"], depth["right"])
    return bool(lung > 0.4 * nodule.diameter_mm and depth["vessel"] < _VESSEL_MM)


def _apart(one: Nodule, other: Nodule) -> bool:
    gap = float(np.linalg.norm(one.centre_mm - other.centre_mm))
    return gap > (one.diameter_mm + other.diameter_mm) / 2 + _APART_MM


def paint(
    hu: npt.NDArray[np.float32],
    lung: npt.NDArray[np.bool_],
    nodules: tuple[Nodule, ...],
    frame: Frame,
    soft_mm: float,
) -> None:
    """Add ``nodules`` to ``hu`` (z, y, x) in place, only where ``lung`` is True and where they are denser than ``hu``,
    with edges blurred over ``soft_mm``.  ``frame`` maps the indices of ``hu`` to millimetres.
    """
    for nodule in nodules:
        box = _box(nodule, hu.shape, frame, soft_mm)
        depth = nodule.depth_mm(frame.points_mm(box))
        for core_mm, value in _layers(nodule):
            share = np.clip(0.5 + (depth - core_mm) / soft_mm, 0, 1) * lung[box]
            hu[box] += (share * np.maximum(value - hu[box], 0)).astype(np.float32)


def _layers(nodule: Nodule) -> list[tuple[float, float]]:
    """For each layer of the nodule, from the outside in, the depth in mm at which it begins, and its HU."""
    if nodule.kind == "part-solid":
        return [(0.0, nodule.hu), (nodule.diameter_mm * 0.25, 20.0)]
    return [(0.0, nodule.hu)]


def _box(nodule: Nodule, shape: tuple[int, ...], frame: Frame, soft_mm: float) -> tuple[slice, ...]:
    """The part of the array of ``shape`` (z, y, x) around the nodule, as slices; empty if the nodule is outside the
    array.
    """
    to_index = np.linalg.inv(frame.to_mm)
    middle = (to_index @ (nodule.centre_mm - frame.first_mm))[::-1]
    reach = (nodule.diameter_mm * 0.6 + soft_mm) * np.linalg.norm(to_index, axis=1)[::-1]
    begin = np.clip(np.floor(middle - reach), 0, shape).astype(int)
    stop = np.clip(np.ceil(middle + reach) + 1, begin, shape).astype(int)
    return tuple(slice(int(b), int(s)) for b, s in zip(begin, stop, strict=True))
