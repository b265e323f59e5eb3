"""How the metric of a dispatcher names the end of a claim."""

import errno
from pathlib import Path

import pytest

from dss_broker.errors import BrokerClosed, TryAgainLater
from dss_datastore.folder import FolderDatastore
from dss_datastore.layout import TICKETS
from dss_dispatch.endings import OUTCOMES, outcome_of
from dss_dispatch.errors import ImageDamaged, NoInference, ResultRefused, TicketError, Withdrawn


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (TicketError("The image is empty."), "TicketError"),
        (ImageDamaged("The image is cut off."), "TicketError"),
        (ResultRefused("a label is missing"), "ResultRefused"),
        (Withdrawn(), "Withdrawn"),
        (NoInference("No worker runs."), "NoInference"),
        (TryAgainLater("later"), "TryAgainLater"),
        (BrokerClosed("closed"), "BrokerClosed"),
        (OSError(errno.ENOSPC, "No space left on device"), "TryAgainLater"),
        (PermissionError(errno.EACCES, "Permission denied"), "unexpected"),
        (KeyError("spacing"), "unexpected"),
    ],
)
def test_an_error_is_counted_by_its_handled_kind_or_as_unexpected(
    tmp_path: Path, error: Exception, outcome: str
) -> None:
    (tmp_path / TICKETS).mkdir()

    assert outcome_of(error, FolderDatastore(tmp_path)) == outcome
    assert outcome in OUTCOMES


def test_a_datastore_that_is_away_is_no_fault_of_the_code(tmp_path: Path) -> None:
    away = FolderDatastore(tmp_path / "unmounted")

    assert outcome_of(FileNotFoundError("a.nii"), away) == "TryAgainLater"
