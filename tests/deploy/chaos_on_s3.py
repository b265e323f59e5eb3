"""A whole site whose files are in a bucket, over links that fail while programs are killed: ``make test-deploy-full``."""

import logging
from pathlib import Path

import pytest

from chaos.bucket import OF_THE_LINK
from chaos.report import table
from chaos.run import Plan, run
from conftest import SYSROOT

pytestmark = pytest.mark.timeout(1500)

log = logging.getLogger(__name__)

KILLS = ("kill a portal", "kill a dispatcher", "kill a worker", "kill all dispatchers")


def test_no_ticket_is_lost_in_a_bucket_whose_links_fail_while_programs_are_killed(
    tmp_path: Path,
) -> None:
    plan = Plan(
        seed=3,
        users=8,
        tickets=2000,
        faults=12,
        pause_s=2.0,
        ends_with_faults=True,
        in_bucket=True,
        kinds=(*OF_THE_LINK, *KILLS),
    )

    outcome = run(plan, tmp_path, SYSROOT, log.info)

    log.info(table(outcome))
    assert outcome.violations == []
    assert {fault.kind for fault in outcome.faults} >= set(OF_THE_LINK)
