"""Findings of a detector, such as possible nodules, and their files for other programs."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

JSON_NAME, CSV_NAME = "findings.json", "findings.csv"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding.  ``number`` is its value in the label map; ``centre_mm`` (x, y, z) is in LPS; ``score`` is 0..1."""

    number: int
    name: str
    centre_mm: tuple[float, float, float]
    diameter_mm: float
    score: float

    @property
    def title(self) -> str:
        """The text that names the finding as a label and a landmark: name, number, diameter and score."""
        return f"{self.name} {self.number}, {self.diameter_mm:.0f} mm, score {self.score:.2f}"

    @property
    def sentence(self) -> str:
        """The finding's line in the ticket's log: its title and its centre."""
        place = ", ".join(f"{value:.1f}" for value in self.centre_mm)
        return f"{self.title[:1].upper()}{self.title[1:]}, centre {place} mm (LPS)."


def write_findings(
    findings: Sequence[Finding], folder: Path, facts: Mapping[str, object]
) -> tuple[Path, Path]:
    """Write ``findings`` into ``folder`` as JSON, after the entries ``facts``, and as CSV.  Returns the path of the
    JSON file, then that of the CSV file; does not fsync.
    """
    rows = [asdict(finding) for finding in findings]
    (folder / JSON_NAME).write_text(
        json.dumps({**facts, "findings": rows}, indent=2) + "\n", encoding="utf-8"
    )
    (folder / CSV_NAME).write_text(_csv(findings), encoding="utf-8")
    return folder / JSON_NAME, folder / CSV_NAME


def _csv(findings: Sequence[Finding]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["number", "name", "x_mm", "y_mm", "z_mm", "diameter_mm", "score"])
    for f in findings:
        place = (f"{value:.2f}" for value in f.centre_mm)
        writer.writerow([f.number, f.name, *place, f"{f.diameter_mm:.2f}", f"{f.score:.4f}"])
    return text.getvalue()
