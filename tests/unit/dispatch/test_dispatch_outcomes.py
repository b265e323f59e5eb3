"""How the metric of a dispatcher names the end of a claim."""

import pytest

from dss_broker.errors import BrokerClosed, TryAgainLater
from dss_dispatch.consumer import outcome_of
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
        (KeyError("spacing"), "unexpected"),
    ],
)
def test_an_error_is_counted_by_its_handled_kind_or_as_unexpected(
    error: Exception, outcome: str
) -> None:
    assert outcome_of(error) == outcome
