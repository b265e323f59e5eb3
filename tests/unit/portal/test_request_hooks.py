"""Hooks of requests run on the loop: Quart runs a plain function in a thread, once for each request."""

from inspect import iscoroutinefunction
from itertools import chain
from pathlib import Path

from dss_broker.memory import MemoryBroker
from dss_portal.app import create_app
from dss_portal.settings import Settings


def test_no_hook_of_a_request_needs_a_thread(tmp_path: Path) -> None:
    settings = Settings(
        database_url="postgres://nobody@127.0.0.1/none",
        amqp_url="amqp://guest:guest@127.0.0.1/none",
        datastore=tmp_path,
        secret_key="k" * 32,
    )
    app = create_app(settings, MemoryBroker())

    hooks = chain(
        *app.before_request_funcs.values(),
        *app.after_request_funcs.values(),
        *app.teardown_request_funcs.values(),
    )

    assert [hook.__qualname__ for hook in hooks if not iscoroutinefunction(hook)] == []
