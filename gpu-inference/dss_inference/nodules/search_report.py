"""Reports to the user how much lung was searched for nodules, in the ticket's log and in files beside the findings."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from dss_broker.messages import Note
from dss_inference.bundle import Report
from dss_inference.nodules.search import ChestPart, Search
from dss_inference.reports import write_report

TEXT_NAME, CSV_NAME = "search.txt", "search.csv"
_CONCLUSION = "Verdict on the search: {}, since lung {} left out."
_SENTENCES = {
    "other_side": "Not searched: {ml} that one lung lacks beside the other at the same height, at least.",
    "other_air": "Not searched: {ml} of other air in the body, which was not taken for lung.",
    "suspect_air": "Not searched: {ml} of that air which may be lung.",
    "chest": (
        "Not searched: {ml} within the outline of the lungs, such as heart, vessels, and lung that is as dense as "
        "they are."
    ),
    "outside_box": "Not searched: {ml} of lung outside the marked box.",
    "cut_border": "Searched in part: {ml} of lung at the image's border, where nodules may be cut.",
}
_LEAST = {
    "other_side": 0.05,
    "other_air": 0.02,
    "suspect_air": 0.005,
    "chest": 0.0,
    "outside_box": 0.0,
    "cut_border": 0.0,
}
"""By code of a part: smaller shares are not mentioned in the log."""


def search_notes(search: Search) -> Iterator[Note]:
    """Notes that say how much lung was searched, and what was not: lung beyond the image's border, and each part whose
    share reaches the limit in _LEAST.  If the conclusion differs from the verdict on the lungs, a warning comes first.
    """
    if search.conclusion != search.verdict:
        yield Note(level="warning", text=_conclusion(search))
    yield Note(level="info", text=_searched(search))
    if search.borders:
        yield Note(level="warning", text=_beyond(search))
    for part in search.parts:
        if part.volume_ml and part.share >= _LEAST[part.code]:
            yield Note(level="warning" if part.is_doubtful else "info", text=sentence_of(part))


def none_found(search: Search) -> Note:
    """The note for the user about a search that found no candidate; a warning if lung was, or may have been, left out."""
    where = f"in the {search.lung_ml:.0f} ml of lung that were searched"
    if not search.lacks_lung:
        return Note(level="info", text=f"No candidate was found {where}.")
    text = f"No candidate was found {where}; other lung {_was(search)} left out, as told above."
    return Note(level="warning", text=text)


def sentence_of(part: ChestPart) -> str:
    """The sentence for the user about ``part``, with the part's volume and share."""
    return _SENTENCES[part.code].format(ml=f"{part.volume_ml:.0f} ml ({part.share:.0%})")


def _conclusion(search: Search) -> str:
    return _CONCLUSION.format(search.conclusion, _was(search))


def _was(search: Search) -> str:
    """The verb for "lung ... not searched".  If the lungs touch a border, lung beyond it "was" missed; otherwise lung
    "may have been" missed, because the parts that were left out need not be lung.
    """
    return "was" if search.borders else "may have been"


def _beyond(search: Search) -> str:
    return f"Not searched: lung beyond the image's border ({', '.join(search.borders)}), whose volume is not known."


def _searched(search: Search) -> str:
    return f"Searched: {search.lung_ml:.0f} ml of lung, in {search.slices} of {search.of_slices} slices."


def search_reports(search: Search, folder: Path) -> tuple[Report, ...]:
    """Write what was searched into a text file and a CSV file in ``folder``, fsynced.  Returns both as reports of the
    ticket.
    """
    return (
        write_report(
            folder / TEXT_NAME,
            _text(search),
            "What was searched for nodules",
            "text/plain; charset=utf-8",
        ),
        write_report(
            folder / CSV_NAME, _csv(search), "What was searched for nodules, as a table", "text/csv"
        ),
    )


def _text(search: Search) -> str:
    lines = [f"Verdict on the lungs: {search.verdict}"]
    lines += [f"Please check: {reason}" for reason in search.reasons]
    if search.conclusion != search.verdict:
        lines.append(_conclusion(search))
    lines += ["", _searched(search)]
    lines += [_beyond(search)] if search.borders else []
    lines += [sentence_of(part) for part in search.parts]
    lines += ["", "Per cent are of the part and the searched lung together."]
    return "\n".join(lines) + "\n"


def _csv(search: Search) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["part", "volume_ml", "share", "meaning"])
    verdict = f"Verdict on the lungs: {search.verdict}"
    writer.writerow(["searched", search.lung_ml, "", verdict])
    for part in search.parts:
        writer.writerow([part.code, part.volume_ml, part.share, sentence_of(part)])
    return text.getvalue()
