"""Serves the portal's application by another server or event loop: ``bench_servers`` compares several.

``python -m bench.served_by SERVER``; settings as for ``dss-portal serve``.  Servers other than Hypercorn come from a
folder in PYTHONPATH.
"""

import asyncio
import os
import sys
from importlib import import_module
from typing import Any

from dss_broker.rabbit import RabbitBroker
from dss_observability.logs import configure_logging
from dss_portal.__main__ import serve
from dss_portal.app import create_app, served
from dss_portal.commands.console import read
from dss_portal.patches import hypercorn
from dss_portal.polls.answering import App
from dss_portal.settings import Settings


def make() -> App:
    """The application that a server runs, with its layers for polls and small writes."""
    settings = read(Settings)
    configure_logging("portal", json_lines=False)
    broker = RabbitBroker(settings.amqp_url.get_secret_value(), "portal", settings.instance)
    return served(create_app(settings, broker))


def main(server: str) -> None:
    """``server``: a program and what it runs on, such as ``uvicorn uvloop httptools``."""
    words = server.split()
    if "uvloop" in words and words[0] == "hypercorn":
        asyncio.set_event_loop_policy(_module("uvloop").EventLoopPolicy())
    host, _, port = os.environ["DSS_BIND"].rpartition(":")
    match words[0]:
        case "hypercorn":
            if "plain" not in words:
                vars(hypercorn)["use"] = _leave
            serve()
        case "uvicorn":
            loop, http = words[1:]
            run = _module("uvicorn").run
            run(make(), host=host, port=int(port), loop=loop, http=http, log_level="warning")
        case "granian":
            run = _module("granian").Granian
            kinds = {"interface": "asgi", "factory": True, "loop": words[1]}
            run("bench.served_by:make", address=host, port=int(port), **kinds).serve()
        case other:
            raise SystemExit(f"There is no way here to run {other}.")


def _leave(_: type) -> None:
    """Let Hypercorn use its own class of connections."""


def _module(name: str) -> Any:
    return import_module(name)


if __name__ == "__main__":
    main(sys.argv[1])
