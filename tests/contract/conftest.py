from collections.abc import Iterator

import pytest

from support.brokers import Bench, MemoryBench, RabbitBench, fresh_vhost


@pytest.fixture(params=["memory", pytest.param("rabbit", marks=pytest.mark.stack)])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Each broker in turn, empty."""
    if request.param == "memory":
        memory = MemoryBench()
        yield memory
        memory.close()
        return
    with fresh_vhost(request.getfixturevalue("rabbit")) as url:
        rabbit = RabbitBench(url)
        yield rabbit
        rabbit.close()
