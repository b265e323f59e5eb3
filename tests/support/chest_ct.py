"""A made chest as the CT that the bundles would read from a file."""

from dss_images.grid import FileGrid
from dss_images.patient_axes import lps_order
from dss_inference.ct.reading import Ct
from dss_inference.ct.region import Box, FileRegion
from support.lung_disease import Chest

UNTURNED = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def ct_of(chest: Chest) -> Ct:
    """The chest as it would be read from a file."""
    (z, y, x), size = chest.spacing_mm, chest.hu.shape[::-1]
    whole = Box(first=(0, 0, 0), end=(size[0], size[1], size[2]))
    grid = FileGrid(size=size, spacing_mm=(x, y, z), origin_mm=(0.0, 0.0, 0.0), direction=UNTURNED)
    place = FileRegion(grid=grid, time_point=1, box=whole)
    return Ct(hu=chest.hu, grid=grid.volume, order=lps_order(grid.volume), place=place, box=whole)
