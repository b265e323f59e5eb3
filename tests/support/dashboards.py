"""The checked-in dashboards, as Grafana would read them."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from conftest import CHECKOUT

FOLDER = CHECKOUT / "observability" / "grafana" / "dashboards"
BOARDS: dict[str, dict[str, Any]] = {
    file.stem: json.loads(file.read_text(encoding="utf-8"))
    for file in sorted(FOLDER.glob("*.json"))
}


@dataclass(frozen=True, kw_only=True)
class Panel:
    """``panel`` of ``board``, rows left out."""

    board: str
    panel: dict[str, Any]

    @property
    def title(self) -> str:
        return f"{self.board}: {self.panel['title']}"

    @property
    def queries(self) -> list[str]:
        return [target["expr"] for target in self.panel["targets"]]


def panels() -> Iterator[Panel]:
    for name, board in BOARDS.items():
        for panel in board["panels"]:
            if panel["type"] != "row":
                yield Panel(board=name, panel=panel)


def filled_in(query: str, values: Mapping[str, str]) -> str:
    """``query`` with Grafana's variables replaced.  Raises KeyError for one that has no value."""
    return re.sub(r"\$(\w+)", lambda match: values[match[1]], query)
