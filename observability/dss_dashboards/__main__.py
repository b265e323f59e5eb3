"""Writes every dashboard as JSON into a folder, ``observability/grafana/dashboards`` by default."""

import sys
from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dss_dashboards.broker import broker
from dss_dashboards.overview import overview
from dss_dashboards.portal import portal
from dss_dashboards.service import service
from dss_dashboards.workers import workers

FOLDER = Path(__file__).parents[1] / "grafana" / "dashboards"

DASHBOARDS = {
    "overview": overview,
    "service": service,
    "broker": broker,
    "workers": workers,
    "portal": portal,
}


def as_json(board: Dashboard) -> str:
    """The dashboard as Grafana's JSON."""
    built = board.build()
    for place, panel in enumerate(built.panels or [], start=1):
        panel.id_val = place
    return JSONEncoder(sort_keys=True, indent=1).encode(built) + "\n"


def main(folder: Path) -> None:
    """Write the dashboards to ``folder``."""
    for name, make in DASHBOARDS.items():
        (folder / f"{name}.json").write_text(as_json(make()), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else FOLDER)
