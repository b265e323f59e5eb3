"""A stream of events ends with its browser."""

import asyncio

import pytest

from dss_portal.live.streams import Stream


@pytest.mark.parametrize("turns", range(5))
async def test_a_stream_ends_though_news_come_at_the_same_moment(turns: int) -> None:
    """``turns`` of the event loop lie between the news and the cancellation."""
    stream = Stream(1, sysadmin=False)
    began = asyncio.Event()

    async def read() -> None:
        async for _ in stream.events():
            began.set()

    task = asyncio.create_task(read())
    await began.wait()

    stream.notify({"tickets"})
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=5)
    stream.end()

    assert task in done
