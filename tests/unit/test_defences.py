"""What ``make test-defences`` takes out is there, and so are the tests that are to miss it."""

import ast
import shutil
from pathlib import Path

import pytest

from conftest import CHECKOUT
from defences.__main__ import weaken
from defences.sabotage import SABOTAGES, Sabotage


@pytest.mark.parametrize("one", SABOTAGES, ids=lambda one: one.name)
def test_a_defence_can_be_taken_out_and_its_tests_are_there(one: Sabotage, tmp_path: Path) -> None:
    copy = Path(shutil.copy(CHECKOUT / one.file, tmp_path))

    weaken(copy, one)

    ast.parse(copy.read_text(encoding="utf-8"))
    assert all((CHECKOUT / test).is_file() for test in one.tests)
