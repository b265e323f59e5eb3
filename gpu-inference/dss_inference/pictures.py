"""Draws the picture of a segmentation into a file beside the segmentation."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dss_broker import label_colours
from dss_broker.messages import Label
from dss_datastore.writing import sync
from dss_images.picture.rendering import picture_of_arrays
from dss_inference.bundle import Report
from dss_inference.ct.reading import Ct
from dss_inference.errors import InferenceError

log = logging.getLogger(__name__)

NAME = "picture.png"
DESCRIPTION = "Three planes with the outlines of the labels"


def picture_report(
    ct: Ct,
    found: npt.NDArray[np.uint8],
    labels: Iterable[Label],
    folder: Path,
    parameters: Mapping[str, str],
) -> tuple[Report, ...]:
    """Draw the label map ``found``, (z, y, x) in the order of ``ct.hu``, over the image, and return the file as a
    report. Colours in the parameter ``label_colours.PARAMETER`` of the request override those of ``labels``.

    Returns () if drawing fails, because a picture is not worth losing the segmentation.  Raises InferenceError if the
    parameter is malformed, OSError if the file cannot be written.
    """
    colours = {label.value: label.rgb for label in labels} | _asked_for(parameters)
    try:
        content = picture_of_arrays(ct.hu, found, ct.spacing_mm, colours)
    except Exception:
        log.exception("picture not drawn")
        return ()
    return (Report(path=_written(content, folder), description=DESCRIPTION, mime_type="image/png"),)


def _asked_for(parameters: Mapping[str, str]) -> dict[int, tuple[int, int, int]]:
    text = parameters.get(label_colours.PARAMETER, "")
    try:
        return label_colours.from_text(text)
    except ValueError as error:
        raise InferenceError(
            f"The parameter {label_colours.PARAMETER} is '{text}'; it must be like '1=255,0,0 2=0,255,0'."
        ) from error


def _written(content: bytes, folder: Path) -> Path:
    partial = folder / f"partial-{NAME}"
    partial.write_bytes(content)
    sync(partial)
    partial.replace(folder / NAME)
    sync(folder)
    return folder / NAME
