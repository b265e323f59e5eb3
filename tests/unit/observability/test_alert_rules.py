"""The alert rules: valid, tested, about metrics that exist, and each with a section of the run-book."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import CHECKOUT, SYSROOT, missing
from dss_stack.errors import ServerMissing
from dss_stack.servers import find_prometheus
from support.dashboards import panels
from support.exposed import FAMILIES, names_in

pytestmark = pytest.mark.slow

PROMETHEUS = CHECKOUT / "observability" / "prometheus"
RUNBOOK = CHECKOUT / "observability" / "RUNBOOK.md"


def rules_in(folder: Path) -> list[dict[str, Any]]:
    files = sorted((folder / "rules").glob("*.yml"))
    groups = [
        group
        for file in files
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
    ]
    return [rule for group in groups for rule in group["rules"]]


RULES = rules_in(PROMETHEUS)
ALERTS = [rule for rule in RULES if "alert" in rule]
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
CASES = [
    case for file in TESTS for case in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]
]


def promtool(*arguments: str, folder: Path) -> None:
    try:
        program = find_prometheus(SYSROOT).path("promtool")
    except ServerMissing as error:
        missing(str(error))
    done = subprocess.run(
        [program, *arguments], cwd=folder, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_configuration(tmp_path: Path) -> None:
    folder = tmp_path / "prometheus"
    shutil.copytree(PROMETHEUS, folder)

    promtool("check", "config", "prometheus.yml", folder=folder)


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_alerts_fire_and_clear_as_their_tests_say(file: Path) -> None:
    promtool("test", "rules", file.name, folder=file.parent)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_is_made_to_fire_and_to_clear(alert: dict[str, Any]) -> None:
    checks = [
        check
        for case in CASES
        for check in case.get("alert_rule_test", [])
        if check["alertname"] == alert["alert"]
    ]

    assert [bool(check["exp_alerts"]) for check in checks] == [True, False]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_tells_a_person_what_to_do(alert: dict[str, Any]) -> None:
    name, notes = alert["alert"], alert["annotations"]

    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert notes["description"].endswith(".")
    assert not notes["summary"].endswith(".")
    assert notes["runbook_url"] == f"observability/RUNBOOK.md#{name.lower()}"


def test_the_run_book_has_a_section_for_each_alert_and_no_other() -> None:
    sections = re.split(r"^### ", RUNBOOK.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]

    names = [section.partition("\n")[0] for section in sections]
    assert sorted(names) == sorted(rule["alert"] for rule in ALERTS)
    assert all("**Means**" in section and "**Look**" in section for section in sections)
    assert all("**do**" in section.lower() for section in sections)


def test_links_within_the_run_book_lead_somewhere() -> None:
    text = RUNBOOK.read_text(encoding="utf-8")
    headings = {name.lower() for name in re.findall(r"^### (\w+)$", text, re.MULTILINE)}

    assert set(re.findall(r"\]\(#(\w+)\)", text)) <= headings


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.get("alert") or r["record"])
def test_rules_ask_only_for_metrics_that_exist(rule: dict[str, Any]) -> None:
    recorded = {rule["record"] for rule in RULES if "record" in rule}

    assert names_in(rule["expr"]) - FAMILIES - recorded == set()


GONE = {
    "rabbitmq_alarms_file_descriptor_limit",
    "rabbitmq_raft_entry_commit_latency_seconds",
    "rabbitmq_raft_log_commit_index",
    "rabbitmq_raft_log_last_applied_index",
    "rabbitmq_raft_log_last_written_index",
    "rabbitmq_raft_log_snapshot_index",
    "rabbitmq_raft_term_total",
}
"""Of RabbitMQ 3.10, and no more in 4.2: https://github.com/rabbitmq/rabbitmq-server/pull/13895."""


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.get("alert") or r["record"])
def test_rules_ask_for_nothing_that_newer_brokers_do_not_have(rule: dict[str, Any]) -> None:
    assert names_in(rule["expr"]) & GONE == set()


def test_panels_ask_for_nothing_that_newer_brokers_do_not_have() -> None:
    assert {name for p in panels() for q in p.queries for name in names_in(q)} & GONE == set()


@pytest.mark.parametrize(
    "name",
    ["rabbitmq_raft_entry_commit_latency_seconds", "rabbitmq_raft_max_commit_latency_seconds"],
)
def test_the_commit_latency_is_found_under_its_old_and_its_new_name(name: str) -> None:
    (panel,) = [p for p in panels() if p.title == "broker: Commit latency"]
    (asked,) = re.findall(r'__name__=~"([^"]+)"', panel.queries[0])

    assert re.fullmatch(asked, name)
