"""The building blocks of all dashboards.  Every panel must have a unit and a description."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from grafana_foundation_sdk.builders import common, prometheus, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as grafana
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as model

SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")

COLUMNS = 24
GRAPH_HEIGHT = 8
NUMBER_HEIGHT = 4

COUNT, SECONDS, BYTES, RATIO = "short", "s", "bytes", "percentunit"
PER_SECOND, REQUESTS, THROUGHPUT, DATE = "ops", "reqps", "Bps", "dateTimeFromNow"
"""Grafana's names of units: operations per second, requests per second, bytes per second, and time since a date."""

Panel: TypeAlias = timeseries.Panel | stat.Panel
Line: TypeAlias = tuple[str, str]
"""A query in PromQL, and the legend of its series."""


def graph(
    title: str, sentence: str, unit: str, *lines: Line, span: int = 8, most: float | None = None
) -> timeseries.Panel:
    """A graph over time with a line for each series of ``lines``, of which only the first eight queries are drawn.

    ``sentence`` is its description.  It is ``span`` of 24 columns wide; ``most`` is the top of its axis, None if
    Grafana chooses it.
    """
    panel = timeseries.Panel().title(title).description(sentence).unit(unit).min(0)
    panel = panel.span(span).height(GRAPH_HEIGHT).datasource(SOURCE)
    panel = panel.fill_opacity(10).show_points(shapes.VisibilityMode.NEVER)
    legend = common.VizLegendOptions().show_legend(True)
    legend = legend.placement(shapes.LegendPlacement.BOTTOM)
    legend = legend.display_mode(shapes.LegendDisplayMode.LIST)
    panel = panel.legend(legend)
    if most is not None:
        panel = panel.max(most)
    for query in _queries(lines):
        panel = panel.with_target(query)
    return panel


def number(
    title: str,
    sentence: str,
    unit: str,
    expression: str,
    *,
    span: int = 4,
    bad_from: float | None = None,
    legend: str = "",
) -> stat.Panel:
    """A panel with the current value of the query ``expression``, which is red from ``bad_from`` on (None: never).

    ``sentence`` is its description; it is ``span`` of 24 columns wide.
    """
    panel = stat.Panel().title(title).description(sentence).unit(unit)
    panel = panel.span(span).height(NUMBER_HEIGHT).datasource(SOURCE)
    panel = panel.graph_mode(shapes.BigValueGraphMode.AREA).thresholds(_red_from(bad_from))
    return panel.with_target(_queries([(expression, legend)])[0])


def dashboard(uid: str, title: str, sentence: str) -> grafana.Dashboard:
    """A dashboard without panels, with a variable for the Prometheus data source and links to the other dashboards."""
    source = grafana.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    others = grafana.DashboardLink("Dashboards").type(model.DashboardLinkType.DASHBOARDS)
    others = others.tags(["dss"]).as_dropdown(True).include_vars(True).keep_time(True)
    board = grafana.Dashboard(title).uid(uid).description(sentence).tags(["dss"])
    board = board.refresh("30s").time("now-3h", "now").timezone("browser").editable()
    board = board.tooltip(model.DashboardCursorSync.CROSSHAIR)
    return board.with_variable(source).link(others)


def choice(name: str, label: str, metric: str) -> grafana.QueryVariable:
    """A variable ``$name`` with the values that ``label`` has in ``metric``."""
    variable = grafana.QueryVariable(name).label(name.capitalize()).datasource(SOURCE)
    variable = variable.query(f"label_values({metric}, {label})").sort(
        model.VariableSort.ALPHABETICAL_ASC
    )
    return variable.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)


@dataclass(frozen=True)
class Row:
    """A heading, and the panels below it from left to right.  Each panel belongs to one row of one dashboard, because
    the dashboard writes the panel's position into it.
    """

    title: str
    panels: tuple[Panel, ...]


def with_rows(board: grafana.Dashboard, *rows: Row) -> grafana.Dashboard:
    """``board`` with ``rows`` added from top to bottom."""
    for row in rows:
        board = board.with_row(grafana.Row(row.title))
        for panel in row.panels:
            board = board.with_panel(panel)
    return board


def mean(metric: str, labels: str = "", by: str = "") -> str:
    """PromQL for the mean of a histogram's recent observations; NaN if there were none.

    ``labels`` is a selector with its braces; ``by`` are names of labels, separated by commas: there is one mean for
    each of their values.
    """
    parts = [f"sum by ({by}) (rate({metric}_{part}{labels}[$__rate_interval]))" for part in _MEAN]
    return " / ".join(parts)


def quantile(q: float, metric: str, labels: str = "", by: str = "") -> str:
    """PromQL for the quantile ``q`` (0 to 1) of a histogram's recent observations.

    ``labels`` is a selector with its braces; ``by`` are names of labels, separated by commas: there is one quantile for
    each of their values.
    """
    groups = f"le, {by}" if by else "le"
    rate = f"rate({metric}_bucket{labels}[$__rate_interval])"
    return f"histogram_quantile({q}, sum by ({groups}) ({rate}))"


def rate(metric: str, labels: str = "", by: str = "") -> str:
    """PromQL for the recent rate of a counter per second, summed over all processes.

    ``labels`` is a selector with its braces; ``by`` are names of labels, separated by commas: there is one rate for
    each of their values.
    """
    return f"sum by ({by}) (rate({metric}{labels}[$__rate_interval]))"


_MEAN = ("sum", "count")


def _queries(lines: Sequence[Line]) -> list[prometheus.Dataquery]:
    return [
        prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(letter)
        for (expression, legend), letter in zip(lines, "ABCDEFGH", strict=False)
    ]


def _red_from(value: float | None) -> grafana.ThresholdsConfig:
    steps = [model.Threshold(value=None, color="green")]
    if value is not None:
        steps.append(model.Threshold(value=value, color="red"))
    mode = model.ThresholdsMode.ABSOLUTE
    return grafana.ThresholdsConfig().mode(mode).steps(steps)
