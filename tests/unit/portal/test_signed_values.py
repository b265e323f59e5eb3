"""What a portal with another clock has signed is good, for as long as it is meant to be."""

import time
from datetime import timedelta

import pytest
from itsdangerous import BadSignature, SignatureExpired, TimestampSigner, URLSafeTimedSerializer

from dss_portal.web.signing import Serializer

KEY = "for tests"
HOUR_S = 3600


def signed(monkeypatch: pytest.MonkeyPatch, ahead: timedelta) -> str:
    """By a portal whose clock is so far ahead, with the class that all have used so far."""
    with monkeypatch.context() as elsewhere:
        moved = int(time.time() + ahead.total_seconds())
        elsewhere.setattr(TimestampSigner, "get_timestamp", lambda _: moved)
        return str(URLSafeTimedSerializer(KEY).dumps("mine"))


@pytest.mark.parametrize("ahead_s", [-60, 0, 60, 600])
def test_a_value_that_was_signed_by_another_clock_is_good(
    monkeypatch: pytest.MonkeyPatch, ahead_s: float
) -> None:
    value = signed(monkeypatch, timedelta(seconds=ahead_s))

    assert Serializer(KEY).loads(value, max_age=HOUR_S) == "mine"


def test_a_value_that_is_too_old_has_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    value = signed(monkeypatch, -timedelta(seconds=HOUR_S + 5))

    with pytest.raises(SignatureExpired):
        Serializer(KEY).loads(value, max_age=HOUR_S)


def test_a_value_of_another_key_is_refused() -> None:
    with pytest.raises(BadSignature):
        Serializer("another").loads(Serializer(KEY).dumps("mine"), max_age=HOUR_S)
