# mypy: allow-untyped-calls
"""What is taken for a nodule, and what is not."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from dss_inference.lungs.sides import LEFT, RIGHT
from dss_inference.nodules.candidates import MOST, Candidate, candidates_in, without_overlaps
from dss_inference.nodules.lungspace import LUNG_HU, LungSpace, at_the_wall
from dss_inference.nodules.outline import Outline, label_map_of, outline_of
from dss_inference.nodules.shape import Shape

pytestmark = pytest.mark.slow


Depth = npt.NDArray[np.float64]


SIZE = 60


Z, Y, X = np.mgrid[:SIZE, :SIZE, :SIZE].astype(float)


def ball(x: float, y: float, z: float, radius_mm: float) -> Depth:
    return np.asarray(radius_mm - np.sqrt((X - x) ** 2 + (Y - y) ** 2 + (Z - z) ** 2))


def tube(radius_mm: float, y: float = 30, x: float = 30) -> Depth:
    return np.asarray(radius_mm - np.hypot(Y - y, X - x))


def lungs_with(*depths: Depth, hu: float = 40.0) -> LungSpace:
    """Nothing but lung, and what is asked for with edges 1 mm wide."""
    share = np.clip(0.5 + np.maximum.reduce(depths), 0, 1)
    noise = np.random.default_rng(1).normal(0, 15, share.shape)
    values = (LUNG_HU + share * (hu - LUNG_HU) + noise).astype(np.float32)
    everything = (slice(0, SIZE),) * 3
    return LungSpace(
        hu=values, inside=np.ones(values.shape, bool), box=everything, steps=(1.0, 1.0, 1.0)
    )


def found_in(space: LungSpace) -> tuple[Candidate, ...]:
    return candidates_in(space, lambda *_: None)


def outlined(candidate: Candidate, space: LungSpace) -> Outline:
    return outline_of(candidate.shape, space, space.hu.astype(np.int16), (1.0, 1.0, 1.0))


@pytest.mark.parametrize("radius_mm", [2.5, 4.0, 7.0, 11.0])
def test_a_ball_is_found_with_its_place_and_size(radius_mm: float) -> None:
    space = lungs_with(ball(33, 27, 30, radius_mm))

    (candidate,) = found_in(space)

    assert candidate.shape.centre == pytest.approx([30, 27, 33], abs=0.6)
    assert outlined(candidate, space).diameter_mm == pytest.approx(2 * radius_mm, abs=1.0)


def test_a_faint_ball_is_found_too() -> None:
    (candidate,) = found_in(lungs_with(ball(30, 30, 30, 5), hu=-600))

    assert candidate.score > 0.6


def test_what_is_no_larger_than_a_slice_and_faint_scores_less() -> None:
    """In slices of 7 mm a vessel that crosses one looks like that."""
    thin = lungs_with(ball(30, 30, 30, 4), hu=-500)
    thick = replace(thin, steps=(7.0, 1.0, 1.0), box=(slice(0, 9), *thin.box[1:]))

    scores = [found_in(space)[0].score for space in (thin, thick)]

    assert scores[0] > 0.9
    assert scores[1] < 0.7


def test_a_large_faint_ball_is_found_in_thick_slices_too() -> None:
    thin = lungs_with(ball(30, 30, 30, 9), hu=-500)
    thick = replace(thin, steps=(7.0, 1.0, 1.0), box=(slice(0, 9), *thin.box[1:]))

    assert found_in(thick)[0].score == found_in(thin)[0].score


def half_lungs() -> npt.NDArray[np.uint8]:
    """Voxels of 2 mm; the right lung's wall is at x = 12, its middle at x = 50; the left one's beyond 70."""
    lungs = np.zeros((60, 70, 120), np.uint8)
    lungs[5:55, 5:65, 12:50] = RIGHT
    lungs[5:55, 5:65, 70:108] = LEFT
    return lungs


@pytest.mark.parametrize(("x", "side"), [(12, RIGHT), (107, LEFT)])
def test_a_dense_nodule_at_the_chest_wall_is_searched_though_the_lungs_leave_it_out(
    x: int, side: int
) -> None:
    whole = half_lungs()
    z, y, x_ = np.ogrid[:60, :70, :120]
    nodule = ((z - 30) ** 2 + (y - 35) ** 2 + (x_ - x) ** 2 < 7**2) & (whole == side)

    filled = at_the_wall(np.where(nodule, 0, whole).astype(np.uint8), (2.0, 2.0, 2.0))

    found = filled.repeat(2, 0).repeat(2, 1).repeat(2, 2) > 0
    assert found[nodule].mean() > 0.4
    assert found.sum() < 2 * nodule.sum()


def test_what_bulges_into_a_lung_from_the_mediastinum_is_not_searched() -> None:
    lungs = half_lungs()
    z, y, x = np.ogrid[:60, :70, :120]
    lungs[(z - 30) ** 2 + (y - 35) ** 2 + (x - 49) ** 2 < 7**2] = 0

    assert not at_the_wall(lungs, (2.0, 2.0, 2.0)).any()


def test_a_vessel_is_no_candidate() -> None:
    assert found_in(lungs_with(tube(3))) == ()


def test_a_ball_beside_a_vessel_comes_before_the_vessel() -> None:
    best = found_in(lungs_with(ball(30, 30, 30, 6), tube(1.5, y=25)))[0]

    assert best.shape.centre == pytest.approx([30, 30, 30], abs=1.5)
    assert best.score > 0.6


def test_there_are_never_more_candidates_than_the_most() -> None:
    many = [ball(x, y, z, 3) for x in (12, 30, 48) for y in (12, 30, 48) for z in (12, 30, 48)]

    assert len(found_in(lungs_with(*many))) == MOST


def candidate_at(z: float, score: float) -> Candidate:
    shape = Shape(
        centre=np.array([z, 0.0, 0.0]),
        radius_mm=4.0,
        roundness=1.0,
        closed=1.0,
        walled=0.0,
        contrast_hu=800.0,
        edge_hu=-400.0,
    )
    return Candidate(shape=shape, score=score)


def test_of_candidates_that_lie_in_each_other_the_best_stays() -> None:
    near, best, far = candidate_at(0, 0.5), candidate_at(3, 0.9), candidate_at(20, 0.4)

    assert without_overlaps([near, best, far]) == (best, far)


def test_a_candidate_is_drawn_without_the_vessel_that_leads_to_it() -> None:
    space = lungs_with(ball(30, 30, 30, 6), tube(1.5))
    best = found_in(space)[0]

    labels = label_map_of([outlined(best, space)], space.hu.shape)

    assert labels.sum() == pytest.approx(4 / 3 * np.pi * 6**3, rel=0.2)
    assert not labels[45:].any()


def test_the_diameter_is_the_longest_in_an_axial_slice_not_along_the_body() -> None:
    best = found_in(lungs_with(ball(30, 30, 30, 5)))[0]
    along_z = [ball(30, 30, z, 5) for z in (27, 30, 33)]
    along_x = [ball(x, 30, 30, 5) for x in (27, 30, 33)]

    read = [outlined(best, lungs_with(*balls)).diameter_mm for balls in (along_z, along_x)]

    assert read == pytest.approx([10, 16], abs=1.5)


def test_the_chest_wall_is_no_part_of_a_nodule_that_touches_it() -> None:
    space = lungs_with(ball(30, 30, 30, 6))
    wall = X > 33
    hu = np.where(wall, 40, space.hu).astype(np.float32)
    best = found_in(space)[0]
    walled = LungSpace(hu=hu, inside=~wall, box=space.box, steps=space.steps)

    outline = outlined(best, walled)

    labels = label_map_of([outline], hu.shape)
    assert not labels[wall].any()
    assert labels[30, 30, 25:33].all()


def test_thick_slices_of_a_ball_are_outlined_in_their_own_grid() -> None:
    space = lungs_with(ball(30, 30, 30, 7))
    best = found_in(space)[0]
    slabs = space.hu.reshape(SIZE // 3, 3, SIZE, SIZE).mean(axis=1)
    thick = LungSpace(
        hu=space.hu,
        inside=space.inside,
        box=(slice(0, SIZE // 3), slice(0, SIZE), slice(0, SIZE)),
        steps=(3.0, 1.0, 1.0),
    )

    outline = outline_of(best.shape, thick, slabs.astype(np.int16), (3.0, 1.0, 1.0))

    assert outline.diameter_mm == pytest.approx(14, abs=1.0)
    volume_mm3 = int(label_map_of([outline], slabs.shape).sum()) * 3
    assert volume_mm3 == pytest.approx(4 / 3 * np.pi * 7**3, rel=0.25)
