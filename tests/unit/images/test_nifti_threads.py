"""A NIfTI header is read without Python's parser, which fails in several threads at once (python/cpython#106905)."""

import ast
from pathlib import Path

import numpy as np
import pytest

from dss_images.reading import read_header
from support.builders import image, write_image


def test_reading_a_header_parses_no_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_image(tmp_path / "ct.nii.gz", image((4, 5, 6)))

    def refused(*_: object, **__: object) -> None:
        raise SystemError("AST constructor recursion depth mismatch")

    monkeypatch.setattr(ast, "parse", refused)
    with pytest.raises(SystemError):
        np.dtype("3f4")

    assert read_header(file).grid.size == (4, 5, 6)
