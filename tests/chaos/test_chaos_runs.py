"""Faults against a whole site.  One file, so that the lanes of the suite play one run at a time."""

from dataclasses import replace
from pathlib import Path

import pytest

from chaos import sabotage
from chaos.play import play
from chaos.report import table
from chaos.run import Plan

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1500)]


def test_a_minute_of_faults_loses_no_ticket_and_doubles_none(tmp_path: Path) -> None:
    plan = Plan(seed=11, tickets=2000, faults=10, pause_s=2.0, ends_with_faults=True)

    outcome = play(plan, tmp_path)

    assert outcome.violations == [], table(outcome)
    assert len(outcome.faults) == 10
    assert sum(sent.accepted for sent in outcome.sent) > 50


@pytest.mark.parametrize(
    ("defence", "rules"),
    [
        ("no-fencing", ("result", "history", "wrong end")),
        ("ack-before-commit", ("stuck", "wrong end")),
        ("no-outbox", ("stuck",)),
    ],
)
def test_a_missing_defence_is_noticed(defence: str, rules: tuple[str, ...], tmp_path: Path) -> None:
    """Each defence of the portal is taken out once."""
    plan = Plan(seed=5, tickets=160, open_each=4, faults=4, pause_s=1.0, settle_s=15, quiet_s=5)
    plan = replace(plan, sabotage=defence, **sabotage.WEAKNESSES[defence])

    outcome = play(plan, tmp_path)

    assert any(found.startswith(rules) for found in outcome.violations), table(outcome)
