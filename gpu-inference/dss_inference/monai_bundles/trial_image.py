# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Makes a small synthetic image, with which ``dss-inference bundle check`` tests that a bundle runs."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

_SIZE, _STEP_MM = 24, 6.0


def write_trial_image(folder: Path) -> Path:
    """Write an image, 144 mm long, of a ball of water in air, and return its path."""
    z, y, x = np.ogrid[:_SIZE, :_SIZE, :_SIZE]
    middle = (_SIZE - 1) / 2
    ball = (z - middle) ** 2 + (y - middle) ** 2 + (x - middle) ** 2 < (0.4 * _SIZE) ** 2
    image = sitk.GetImageFromArray(np.where(ball, 0, -1000).astype(np.int16))
    image.SetSpacing([_STEP_MM] * 3)
    path = folder / "trial.nii.gz"
    sitk.WriteImage(image, path)
    return path
