# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""An image with one marked cube for the viewer."""

import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

SIZE = (40, 32, 24)
MARKED = (29, 9, 15)
"""Index of the middle of a cube of 3 voxels, which is bright in the image and the only label of the segmentation."""


def cube(direction: tuple[float, ...], pixel: int, inside: int, outside: int) -> sitk.Image:
    """``inside`` in the cube around MARKED."""
    built = sitk.Image(SIZE, pixel) + outside
    built.SetSpacing((1.5, 1.25, 2.0))
    built.SetOrigin((-30.5, 12.25, 100.0))
    built.SetDirection(direction)
    x, y, z = MARKED
    built[x - 1 : x + 2, y - 1 : y + 2, z - 1 : z + 2] = inside
    return built  # type: ignore[no-any-return]  # SimpleITK ships no types
