import pytest

from dss_portal import batches
from dss_portal.batches import for_each, in_parts


async def halves(number: int) -> int:
    """Fails for an odd one."""
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number // 2


async def test_an_item_that_fails_holds_none_of_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert await for_each("halving", [2, 3, 4, 5, 6], halves) == 6

    assert [record.__dict__["item"] for record in caplog.records] == ["3", "5"]


async def test_an_item_that_fails_in_every_round_is_logged_once_in_a_while(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        await for_each("halving again", [7], halves)
    assert len(caplog.records) == 1

    monkeypatch.setattr(batches, "LOG_INTERVAL_S", -1.0)
    await for_each("halving again", [7], halves)
    assert len(caplog.records) == 2


@pytest.mark.parametrize("outage", [ConnectionRefusedError(), OSError(28, "disk full")])
async def test_an_outage_ends_the_round(outage: Exception) -> None:
    seen = []

    async def act(number: int) -> int:
        seen.append(number)
        raise outage

    with pytest.raises(type(outage)):
        await for_each("halving", [1, 2], act)

    assert seen == [1]


def test_more_values_than_a_statement_takes_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MOST_VALUES", 2)

    assert list(in_parts({1: "a", 2: "b", 3: "c"})) == [[1, 2], [3]]
    assert list(in_parts([])) == []
