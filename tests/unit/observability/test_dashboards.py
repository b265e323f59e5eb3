"""Grafana's dashboards: generated, explained, laid out, and about metrics that exist."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.models.dashboard import Dashboard

from conftest import CHECKOUT
from dss_dashboards.__main__ import DASHBOARDS, as_json, main
from support.dashboards import BOARDS, FOLDER, Panel, panels
from support.exposed import FAMILIES, names_in

UNITS = {"short", "s", "bytes", "percentunit", "ops", "reqps", "Bps", "dateTimeFromNow"}
PANELS = list(panels())
RULES = CHECKOUT / "observability" / "prometheus" / "rules" / "recording.yml"
RECORDED = {
    rule["record"]
    for g in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    for rule in g["rules"]
}
BUILT_IN = {"ALERTS", "__rate_interval", "datasource"}


def test_the_checked_in_dashboards_are_what_the_code_makes(tmp_path: Path) -> None:
    main(tmp_path)

    fresh = {file.name: file.read_text(encoding="utf-8") for file in tmp_path.iterdir()}
    assert {file.name: file.read_text(encoding="utf-8") for file in FOLDER.iterdir()} == fresh


@pytest.mark.parametrize("name", DASHBOARDS)
def test_grafanas_own_model_reads_every_dashboard_back(name: str) -> None:
    read = Dashboard.from_json(BOARDS[name])

    assert read.title == DASHBOARDS[name]().build().title
    assert as_json(DASHBOARDS[name]()).count('"type": "row"') == sum(
        panel["type"] == "row" for panel in BOARDS[name]["panels"]
    )


def test_dashboards_have_names_of_their_own() -> None:
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS) == 5


@pytest.mark.parametrize("panel", PANELS, ids=lambda p: p.title)
def test_every_panel_has_a_unit_and_a_sentence(panel: Panel) -> None:
    assert panel.panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert re.fullmatch(r"[A-Z0-9].{15,}\.", panel.panel["description"])
    assert panel.queries


@pytest.mark.parametrize("name", BOARDS)
def test_panels_do_not_overlap_nor_leave_the_page(name: str) -> None:
    places = [panel["gridPos"] for panel in BOARDS[name]["panels"]]

    assert all(p["x"] >= 0 and p["x"] + p["w"] <= 24 for p in places)
    assert [pair for pair in itertools.combinations(places, 2) if _overlap(*pair)] == []


@pytest.mark.parametrize("name", BOARDS)
def test_no_two_panels_of_a_dashboard_share_a_title_or_a_number(name: str) -> None:
    titles = [panel["title"] for panel in BOARDS[name]["panels"] if panel["type"] != "row"]
    ids = [panel["id"] for panel in BOARDS[name]["panels"]]

    assert len(set(titles)) == len(titles)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("panel", PANELS, ids=lambda p: p.title)
def test_panels_ask_only_for_metrics_that_exist(panel: Panel) -> None:
    for query in panel.queries:
        assert names_in(query) - FAMILIES - RECORDED - BUILT_IN == set()


@pytest.mark.parametrize("panel", PANELS, ids=lambda p: p.title)
def test_panels_use_only_variables_that_their_dashboard_has(panel: Panel) -> None:
    known = {v["name"] for v in BOARDS[panel.board]["templating"]["list"]} | BUILT_IN

    for query in panel.queries:
        assert set(re.findall(r"\$(\w+)", query)) <= known


@pytest.mark.parametrize("panel", PANELS, ids=lambda p: p.title)
def test_metrics_without_labels_are_asked_of_one_kind_of_program(panel: Panel) -> None:
    """They are in every program, 0 where they mean nothing."""
    everywhere = ("dss_ready", "dss_outbox_", "dss_inference_busy", "dss_uploads", "dss_gpu_util")
    for query in panel.queries:
        asked = re.findall(rf"({'|'.join(everywhere)})\w*({{[^}}]*}})?", query)
        assert all("job=" in labels for _, labels in asked)


def _overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(
        one[start] < other[start] + other[size] and other[start] < one[start] + one[size]
        for start, size in (("x", "w"), ("y", "h"))
    )
