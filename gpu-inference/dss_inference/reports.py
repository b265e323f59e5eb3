"""What is handed out beside a segmentation: lists of findings, landmarks, a report on its quality."""

from collections.abc import Sequence
from pathlib import Path

from dss_broker.messages import Label, Landmark
from dss_datastore.writing import sync
from dss_inference.bundle import Report
from dss_inference.findings import Finding, write_findings


def listed(findings: Sequence[Finding], folder: Path) -> tuple[Report, ...]:
    """The findings as JSON and as CSV, on disk."""
    as_json, as_csv = write_findings(findings, folder)
    for path in (as_json, as_csv, folder):
        sync(path)
    return (
        Report(
            path=as_csv,
            description="Findings as a table: positions (LPS) and diameters in mm, scores",
            mime_type="text/csv",
        ),
        Report(path=as_json, description="The same as JSON", mime_type="application/json"),
    )


def landmarks_of(findings: Sequence[Finding], labels: Sequence[Label]) -> tuple[Landmark, ...]:
    """One for each finding, in the colour of its label."""
    colours = {label.value: label.rgb for label in labels}
    return tuple(
        Landmark(text=f.title, position_mm=f.centre_mm, rgb=colours[f.number]) for f in findings
    )
