"""A minute of faults against a whole site."""

from pathlib import Path

import pytest

from chaos.play import play
from chaos.report import table
from chaos.run import Plan

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]


def test_a_minute_of_faults_loses_no_ticket_and_doubles_none(tmp_path: Path) -> None:
    plan = Plan(seed=11, tickets=2000, faults=10, pause_s=2.0, ends_with_faults=True)

    outcome = play(plan, tmp_path)

    assert outcome.violations == [], table(outcome)
    assert len(outcome.faults) == 10
    assert sum(sent.accepted for sent in outcome.sent) > 50
