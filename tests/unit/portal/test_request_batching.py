"""What is asked at the same time is done together, and each gets its own answer."""

import asyncio
from collections.abc import Sequence

import pytest

from dss_portal.request_batching import RequestBatcher


async def doubled(numbers: Sequence[int]) -> list[int | Exception]:
    return [ValueError("odd") if number % 2 else 2 * number for number in numbers]


async def test_each_gets_its_own_answer_or_its_own_error() -> None:
    batcher = RequestBatcher(doubled, 8)

    found = await asyncio.gather(*map(batcher.ask, [2, 3, 4]), return_exceptions=True)

    assert [found[0], found[2]] == [4, 8]
    assert isinstance(found[1], ValueError)


async def test_who_asks_meanwhile_is_in_the_next_round_and_no_round_is_too_large() -> None:
    rounds: list[list[int]] = []

    async def noted(numbers: Sequence[int]) -> list[int | Exception]:
        rounds.append(list(numbers))
        await asyncio.sleep(0)
        return list(numbers)

    batcher = RequestBatcher(noted, 2)
    await asyncio.gather(*map(batcher.ask, range(5)))

    assert rounds == [[0, 1], [2, 3], [4]]


async def test_an_error_of_the_work_is_everybodys_and_the_next_round_goes_on() -> None:
    broken = True

    async def work(numbers: Sequence[int]) -> list[int | Exception]:
        if broken:
            raise ConnectionError
        return list(numbers)

    batcher = RequestBatcher(work, 8)
    found = await asyncio.gather(*map(batcher.ask, [1, 2]), return_exceptions=True)
    assert [type(error) for error in found] == [ConnectionError] * 2

    broken = False
    assert await batcher.ask(3) == 3


async def test_a_question_that_was_given_up_is_not_worked_on() -> None:
    seen: list[int] = []
    may_go = asyncio.Event()

    async def work(numbers: Sequence[int]) -> list[int | Exception]:
        seen.extend(numbers)
        await may_go.wait()
        return list(numbers)

    batcher = RequestBatcher(work, 1)
    first, second = (asyncio.create_task(batcher.ask(n)) for n in (1, 2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second.cancel()
    may_go.set()

    assert await first == 1
    with pytest.raises(asyncio.CancelledError):
        await second
    await asyncio.sleep(0)
    assert seen == [1]
