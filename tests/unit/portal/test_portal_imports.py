"""What is imported when the portal's commands start costs CPU time in each start."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import inspect
import tortoise.models
def refuse(*_, **__):
    raise AssertionError("a module's source is parsed")
inspect.getsource = refuse
import dss_portal.models
"""
MODELS = Path(__file__).parents[3] / "portal/dss_portal/models.py"


def test_the_models_are_defined_without_reading_their_source() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)


def test_a_site_without_an_issuer_loads_nothing_of_openid() -> None:
    program = (
        "import sys, dss_portal.app; sys.exit(bool({'authlib', 'joserfc'} & set(sys.modules)))"
    )

    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_no_field_is_described_by_a_comment_which_tortoise_would_not_find() -> None:
    assert "#:" not in MODELS.read_text(encoding="utf-8")
