# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Images that are sent to the REST interface, and the waiting for its answer."""

import io
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
from werkzeug.test import Client, TestResponse

TIMEOUT_S = 60


def image() -> sitk.Image:
    voxels = np.arange(-30, 30, dtype=np.int16).reshape(3, 4, 5)
    made = sitk.GetImageFromArray(voxels)
    made.SetSpacing((0.7, 0.8, 2.5))
    made.SetOrigin((-33.5, 12.25, 7.0))
    made.SetDirection((-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))
    return made


def as_file(folder: Path, suffix: str) -> bytes:
    path = folder / f"made{suffix}"
    sitk.WriteImage(image(), path)
    return path.read_bytes()


def sent(client: Client, content: bytes, name: str = "ct", **others: str) -> TestResponse:
    data = {"itk_image": (io.BytesIO(content), name), **others}
    return client.post("/lung_segmentation/inference", data=data)


def until(client: Client, endpoint: str, status: int) -> TestResponse:
    deadline = time.monotonic() + TIMEOUT_S
    while (answer := client.get(endpoint, buffered=True)).status_code != status:
        assert time.monotonic() < deadline, answer.get_data()
        time.sleep(0.01)
    return answer
