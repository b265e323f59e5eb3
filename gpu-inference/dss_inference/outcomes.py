"""Requests that were answered before: a redelivered one is not computed twice."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from dss_broker.files import sync
from dss_broker.messages import InferenceFinished, RunInference

_NAME = "outcome.json"


@dataclass(frozen=True, kw_only=True)
class _Record:
    request: RunInference
    finished: InferenceFinished


def record(folder: Path, request: RunInference, finished: InferenceFinished) -> None:
    """Beside the segmentation, and only once that is on disk."""
    partial = folder / f"partial-{_NAME}"
    partial.write_bytes(msgspec.json.encode(_Record(request=request, finished=finished)))
    sync(partial)
    partial.replace(folder / _NAME)


def earlier_answer(
    folder: Path, request: RunInference, datastore: Path
) -> InferenceFinished | None:
    """What the very same request was answered with, if its segmentation is still there."""
    try:
        known = msgspec.json.decode((folder / _NAME).read_bytes(), type=_Record)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    there = (datastore / known.finished.segmentation_path).is_file()
    return known.finished if there and known.request == request else None
