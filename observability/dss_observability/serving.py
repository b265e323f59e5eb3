"""Serves ``/metrics``, ``/healthz`` and ``/readyz`` on a port of their own, for operators only."""

import logging
import socket
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, TypeAlias
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from dss_observability import metrics

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

BROKER_AWAY = "The broker is away or takes no messages."
TOO_SLOW = "It was not known in time what is missing: the program is overloaded, or a server or name server hangs."

POLL_S = 0.1
"""Seconds between two checks whether the server is to end."""

log = logging.getLogger(__name__)

Missing: TypeAlias = Callable[[], list[str]]
"""Returns a sentence for each thing that prevents the program from working."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Server6(_Server):
    """For an address of IPv6, such as ``[::]``, at which IPv4 is served too."""

    address_family = socket.AF_INET6


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Do nothing: requests of probes and scrapes are not logged."""


def missing(*, broker: str, datastore: str) -> list[str]:
    """The sentences about the problems of the broker and of the datastore, without those that are "".

    A program that needs both is ready if the list is empty.
    """
    return [sentence for sentence in (broker, datastore) if sentence]


def _nothing() -> list[str]:
    return []


def serve_health(
    bind: str, missing: Missing, worth_knowing: Missing = _nothing
) -> Callable[[], None]:
    """Serve the pages on ``bind`` (host:port) in a thread; returns a function that ends the server.

    Serves nothing if ``bind`` is "".  An IPv6 address may have brackets.  ``missing`` returns why the program is not ready, as sentences; the sentences of
    ``worth_knowing`` are shown on ``/readyz``, but do not make the program unready.  Raises OSError if the address is
    in use or does not belong to this machine.
    """
    if not bind:
        return lambda: None
    metrics.READY.set_function(lambda: not _found(missing))
    host, _, port = bind.rpartition(":")
    host = host.strip("[]")
    kind = _Server6 if ":" in host else _Server
    server = make_server(host, int(port), _app(missing, worth_knowing), kind, _Quiet)
    threading.Thread(
        target=server.serve_forever, args=(POLL_S,), name="health", daemon=True
    ).start()
    log.info("health served", extra={"bind": bind})

    def end() -> None:
        server.shutdown()
        server.server_close()

    return end


def _found(missing: Missing) -> list[str]:
    """The sentences that ``missing`` returns; if it raises an error, one sentence about the error.

    It does not raise, because ``/metrics`` needs the answer too, and must work.
    """
    try:
        return missing()
    except TimeoutError:  # for example, a name server does not answer
        log.warning("readiness not known in time")
        return [TOO_SLOW]
    except Exception as error:
        log.warning("readiness unknown", exc_info=True)
        return [f"The check of what is missing failed ({type(error).__name__})."]


def _app(missing: Missing, worth_knowing: Missing) -> "WSGIApplication":
    metrics_page = make_wsgi_app()

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            page: Iterable[bytes] = metrics_page(environ, start_response)
            return page
        found = _found(missing) if path == "/readyz" else []
        remarks = _found(worth_knowing) if path == "/readyz" else []
        known = path in {"/readyz", "/healthz"}
        status = "404 Not Found" if not known else "503 Not Ready" if found else "200 OK"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return ["\n".join([*(found or ["ok"]), *remarks]).encode() if known else b"not found"]

    return app
