import re
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from dss_dispatch.settings import Settings as DispatchSettings
from dss_inference.settings import Settings as InferenceSettings
from dss_portal.settings import Settings as PortalSettings

EXAMPLE = Path(__file__).parents[2] / "infra" / "env.example"


@pytest.mark.parametrize("settings", [PortalSettings, DispatchSettings, InferenceSettings])
def test_every_setting_stands_in_the_example(settings: type[BaseSettings]) -> None:
    listed = set(re.findall(r"^(DSS_\w+)=", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE))

    assert {f"DSS_{name.upper()}" for name in settings.model_fields} - listed == set()
