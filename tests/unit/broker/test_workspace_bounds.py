"""A hostile workspace is refused by the one reader, for each program that reads it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dss_client.errors import NotUnderstood
from dss_client.workspace import read_outcome
from dss_dispatch.errors import TicketError
from dss_dispatch.service import service_from
from dss_dispatch.submission.reading import read_submission
from dss_workspace.errors import WorkspaceInvalid
from dss_workspace.registry import MAX_BYTES, MAX_DEPTH, parse, read
from support.builders import service_json

DEEP = 20_000
HOSTILE = {
    "larger than 16 MB": b"<registry>" + b" " * MAX_BYTES + b"</registry>",
    f"deeper than {MAX_DEPTH}": b"<registry>"
    + b"<folder key='a'>" * DEEP
    + b"</folder>" * DEEP
    + b"</registry>",
    "entities": b'<!DOCTYPE r [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><registry>&b;</registry>',
}


def _as_client(path: Path) -> object:
    return read_outcome(path)


def _as_dispatcher(path: Path) -> object:
    return read_submission(path.parent, service_from(service_json()))


@pytest.mark.parametrize("why", HOSTILE)
@pytest.mark.parametrize(
    ("program", "error"),
    [(read, WorkspaceInvalid), (_as_client, NotUnderstood), (_as_dispatcher, TicketError)],
)
def test_a_hostile_workspace_is_refused_with_a_sentence(
    tmp_path: Path, program: Callable[[Path], object], error: type[Exception], why: str
) -> None:
    path = tmp_path / "a.itksnap"
    path.write_bytes(HOSTILE[why])

    with pytest.raises(error, match=why):
        program(path)


@pytest.mark.parametrize("why", HOSTILE)
def test_bytes_are_bounded_like_files(why: str) -> None:
    with pytest.raises(WorkspaceInvalid, match=why):
        parse(HOSTILE[why])
