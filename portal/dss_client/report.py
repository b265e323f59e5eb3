"""Reports the outcome of a ticket: as lines for the user, and as a JSON file for programs (``dss send --json``)."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dss_client.records import LogLine
from dss_client.sending import Results, Sent
from dss_client.volumes import LabelVolume


def write_report(sent: Sent, path: Path) -> None:
    """Write a JSON file with the ticket's number and state, its results, log and durations.  Paths are absolute,
    volumes in millilitres; ``workspace`` is null without results.
    """
    results = sent.results
    path.write_text(
        json.dumps(_head(sent) | _files(results) | _tail(sent), indent=2) + "\n", encoding="utf-8"
    )


def _head(sent: Sent) -> dict[str, Any]:
    return {"ticket": sent.ticket, "status": sent.status}


def _files(results: Results | None) -> dict[str, Any]:
    if results is None:
        return {"workspace": None, "files": [], "segmentations": [], "labels": []}
    return {
        "workspace": str(results.workspace.resolve()),
        "files": [str(path.resolve()) for path in results.files],
        "segmentations": [str(path.resolve()) for path in results.segmentations],
        "labels": [_label(label) for label in results.labels],
    }


def _label(label: LabelVolume) -> dict[str, Any]:
    """The JSON object of a label.  It has the field ``segmentation`` only if several segmentations contain the label."""
    found = asdict(label)
    return found if label.segmentation else {k: v for k, v in found.items() if k != "segmentation"}


def _tail(sent: Sent) -> dict[str, Any]:
    return {"log": [_log_line(line) for line in sent.log], "seconds": sent.seconds}


def _log_line(line: LogLine) -> dict[str, Any]:
    return {
        "id": line.id,
        "atime": line.atime,
        "category": line.category,
        "message": line.message,
    }


def summary(results: Results) -> list[str]:
    """Lines for the user: the volume of each label, or that the segmentation is empty, and the path of the workspace.
    Without measured labels, only the path.
    """
    width = max((len(label.called) for label in results.labels), default=0)
    volumes = [f"{label.called:<{width}}  {label.volume_ml:10.1f} ml" for label in results.labels]
    empty = ["The segmentation is empty."] if results.measured else []
    return [
        *(volumes or empty),
        f"Result workspace: {results.workspace.resolve()}",
    ]
