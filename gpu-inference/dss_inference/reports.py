"""Writes the files that a bundle attaches to the ticket beside the segmentation, and makes landmarks of findings."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from dss_broker.messages import Label, Landmark
from dss_datastore.writing import sync
from dss_inference.bundle import Report
from dss_inference.findings import Finding, write_findings


def write_report(path: Path, text: str, description: str, mime_type: str) -> Report:
    """Write ``text`` to the file ``path``, fsynced, and return it as a Report."""
    path.write_text(text, encoding="utf-8")
    for written in (path, path.parent):
        sync(written)
    return Report(path=path, description=description, mime_type=mime_type)


def write_finding_reports(
    findings: Sequence[Finding], folder: Path, facts: Mapping[str, object] | None = None
) -> tuple[Report, ...]:
    """Write the findings into ``folder`` as CSV and as JSON, fsynced, and return both files as reports, the CSV file
    first. ``facts`` precede the findings in the JSON.
    """
    as_json, as_csv = write_findings(findings, folder, facts or {})
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
    """One landmark for each finding, with the colour of the label whose value is the finding's number."""
    colours = {label.value: label.rgb for label in labels}
    return tuple(
        Landmark(text=f.title, position_mm=f.centre_mm, rgb=colours[f.number]) for f in findings
    )
