"""The folder of a new service."""

from pathlib import Path

import pytest

from dss_broker.dispatch_section import Modality
from dss_provider.new_folder import make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make(tmp_path / "bright", Modality.MR)
    return tmp_path / "bright"
