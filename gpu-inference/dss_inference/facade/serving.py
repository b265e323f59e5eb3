"""Serves the facade, the worker's REST interface, on a port."""

import logging
import threading
from collections.abc import Callable

from cheroot.wsgi import Server

from dss_inference.facade.routes import Facade

log = logging.getLogger(__name__)

_THREADS = 8
_SILENCE_S = 60
"""Longest pause within an upload, in seconds."""


class _Server(Server):
    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature is cheroot's
        log.log(level, "facade", exc_info=traceback, extra={"what": msg})


def serve_facade(bind: str, facade: Facade) -> Callable[[], None]:
    """Serve ``facade`` on ``bind`` (host:port) in threads.  Returns a function that stops it.  Raises OSError if it
    cannot listen there, for example because the port is in use.
    """
    host, _, port = bind.rpartition(":")
    server = _Server(
        (host.strip("[]"), int(port)),
        facade,
        numthreads=_THREADS,
        timeout=_SILENCE_S,
        server_name="dss-inference",
    )
    server.prepare()
    thread = threading.Thread(target=server.serve, name="facade", daemon=True)
    thread.start()
    log.info("facade served", extra={"bind": bind})

    def end() -> None:
        server.stop()
        thread.join()

    return end
