"""A portal that is away is asked again; what it refuses is not."""

import pytest

from dss_client.errors import Refused, Unreachable
from dss_client.retries import LONGEST_PAUSE_S, with_retries


def answering(*answers: Exception | str):  # type: ignore[no-untyped-def]  # a function of one answer after the other
    left = list(answers)

    def ask() -> str:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


def test_it_asks_again_with_growing_pauses_and_tells_once() -> None:
    pauses: list[float] = []
    told: list[str] = []
    ask = answering(Unreachable(""), Refused(502, "<html>"), Refused(429, "slow"), "yes")

    assert with_retries(ask, 60, pauses.append, lambda: told.append("away")) == "yes"

    assert pauses == [0.5, 1.0, 2.0]
    assert max(pauses) < LONGEST_PAUSE_S
    assert told == ["away"]


@pytest.mark.parametrize("error", [Refused(400, "No."), Refused(401, ""), ValueError("x")])
def test_a_refusal_is_not_repeated(error: Exception) -> None:
    with pytest.raises(type(error)):
        with_retries(answering(error, "never"), 60, lambda _: None)


def test_it_gives_up_in_the_end() -> None:
    with pytest.raises(Unreachable):
        with_retries(answering(Unreachable("gone"), "never"), -1, lambda _: None)
