"""Programs of release 0.1.0 are replaced by today's, and back, under traffic: part of ``make test-deploy-full``."""

import logging
import subprocess
from pathlib import Path

import pytest

from chaos.report import table
from chaos.upgrade import RELEASE, run
from conftest import CHECKOUT, SYSROOT, missing

pytestmark = pytest.mark.timeout(1500)

log = logging.getLogger(__name__)


def test_no_ticket_is_lost_while_a_release_is_replaced_and_brought_back(tmp_path: Path) -> None:
    known = ["git", "-C", str(CHECKOUT), "cat-file", "-e", f"{RELEASE}^{{commit}}"]
    if subprocess.run(known, check=False, capture_output=True).returncode:
        missing(f"This checkout has no history: the commit {RELEASE} is needed.")

    outcome = run(tmp_path, RELEASE, SYSROOT, log.info)

    log.info(table(outcome))
    assert outcome.violations == []
