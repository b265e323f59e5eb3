"""The command ``dss-inference``: serves bundles to dispatchers through the broker or over HTTP, or runs one by hand."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Annotated

import typer

from dss_broker.errors import BrokerClosed
from dss_broker.rabbit import RabbitBroker
from dss_broker.reading_settings import read_settings
from dss_broker.settings import cannot_listen
from dss_datastore.access import SharedDatastore
from dss_inference.bundle import Bundle
from dss_inference.bundle_catalogue import BUNDLES, installed_in, load_to_serve
from dss_inference.bundle_commands import commands, refuse
from dss_inference.errors import InferenceError
from dss_inference.monai_bundles.unusable_bundle import UnusableBundle
from dss_inference.settings import DeviceSettings, FacadeSettings, Settings
from dss_inference.worker.server import QueueServer
from dss_inference.worker_metrics import measure
from dss_observability.logs import configure_logging
from dss_observability.serving import Missing, missing, serve_health
from dss_observability.telemetry import start_tracing
from dss_process.commands import add_version
from dss_process.signals import exit_immediately, stop_signal, wait_for_stop
from dss_process.startup import prepare_process
from dss_process.supervision import Supervisor

log = logging.getLogger(__name__)

main = typer.Typer(
    help="Segment images with bundles, on a GPU if there is one.",
    no_args_is_help=True,
    add_completion=False,
)
add_version(main, "dss-inference")
main.add_typer(commands, name="bundle")


@main.command()
def serve(
    bundle: Annotated[
        list[str] | None, typer.Option(help="A bundle to serve; may be repeated. Default: all.")
    ] = None,
) -> None:
    """Take requests until told to stop (SIGTERM or Ctrl-C).

    Needs DSS_AMQP_URL and DSS_DATASTORE or DSS_DATASTORE_URL; see infra/env.example for the rest.
    """
    settings = read_settings(Settings)
    configure_logging("inference", json_lines=settings.log_json)
    end_tracing = start_tracing("inference", settings.instance, os.environ)
    try:
        _serve(list(_to_serve(bundle, settings)), settings)
    finally:
        end_tracing()
    exit_immediately()


@main.command()
def facade(
    bundle: Annotated[
        list[str] | None, typer.Option(help="A bundle to serve; may be repeated. Default: all.")
    ] = None,
) -> None:
    """Take images over HTTP only, without a broker: POST /lung_segmentation/inference and so on.

    At DSS_FACADE_BIND, or 127.0.0.1:8080; 'serve' does the same beside its queues.
    """
    settings = read_settings(FacadeSettings)
    configure_logging("inference", json_lines=settings.log_json)
    end_tracing = start_tracing("inference", settings.instance, os.environ)
    bind = settings.facade_bind or "127.0.0.1:8080"
    loaded = list(_to_serve(bundle, settings))
    stop = stop_signal()
    end_facade = _start_facade(bind, loaded, settings)
    wait_for_stop(stop)
    done = end_facade()
    log.info("stopped", extra={"all_finished": done})
    end_tracing()
    exit_immediately()


@main.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def phantom(context: typer.Context) -> None:
    """The same as 'dss-phantom': make a synthetic chest CT.  'dss-phantom --help' shows its options."""
    done = subprocess.run([sys.executable, "-m", "dss_phantom", *context.args], check=False)
    raise typer.Exit(done.returncode)


def _to_serve(names: list[str] | None, settings: DeviceSettings) -> Iterator[Bundle]:
    """Load the bundles ``names``, or all built-in and installed ones.  Exits with a sentence and status 2 if there is
    no such bundle or device, or if a MONAI bundle at a path cannot be used.

    An installed MONAI bundle, or an example, that cannot be used is served, too: it answers each request with the
    reason.
    """
    where = (settings.device, settings.threads, settings.bundles, settings.bundle_bytes)
    for name in names or [*sorted(BUNDLES), *installed_in(settings.bundles)]:
        try:
            loaded = load_to_serve(name, *where)
        except InferenceError as error:
            refuse(str(error), 2)
        if isinstance(loaded, UnusableBundle):
            log.warning("bundle not usable", extra={"bundle": name, "why": loaded.reason})
        yield loaded


def _datastore(settings: Settings) -> SharedDatastore:
    """The datastore of the settings.  Exits with a sentence and status 2 if this machine cannot use it; logs a warning
    if it cannot be reached yet.
    """
    try:
        datastore = settings.shared_datastore()
    except ValueError as error:
        refuse(str(error), 2)
    if reason := datastore.problem():
        log.warning("datastore away", extra={"reason": reason})
    return datastore


def _serve(loaded: Sequence[Bundle], settings: Settings) -> None:
    stop = stop_signal()
    datastore = _datastore(settings)
    end_facade = _start_facade(settings.facade_bind, loaded, settings)
    broker = RabbitBroker(settings.amqp_url.get_secret_value(), "inference", settings.instance)
    server = _queue_server(broker, loaded, datastore, settings)
    supervisor = Supervisor(stop)
    end_health = _serve_health(
        settings,
        broker,
        lambda: [
            *missing(broker=broker.problem, datastore=datastore.problem()),
            *supervisor.problems(),
            *server.problems(),
        ],
    )
    measure(loaded)
    starting = supervisor.start("serving", partial(_start, server))
    try:
        wait_for_stop(stop)
        done = server.stop(settings.stop_s) & end_facade()
        log.info("stopped", extra={"all_finished": done})
    finally:
        end_health()
        broker.close()
        starting.join()


def _queue_server(
    broker: RabbitBroker, loaded: Sequence[Bundle], datastore: SharedDatastore, settings: Settings
) -> QueueServer:
    return QueueServer(
        broker=broker,
        bundles=loaded,
        datastore=datastore,
        instance=settings.instance,
        ahead=settings.requests_ahead,
    )


def _serve_health(
    settings: Settings, broker: RabbitBroker, problems: Missing
) -> Callable[[], None]:
    """Serve metrics and health for operators on the port of DSS_METRICS_BIND; returns a function that ends this.  Exits
    with a sentence if the port is in use.
    """
    try:
        return serve_health(settings.metrics_bind, problems)
    except OSError as error:
        broker.close()
        refuse(cannot_listen("DSS_METRICS_BIND", settings.metrics_bind, error), 2)


def _start(server: QueueServer) -> None:
    """Wait for the broker, then subscribe to the queues.  Returns early if the program is stopped."""
    with suppress(BrokerClosed):
        server.start()


def _start_facade(
    bind: str, loaded: Sequence[Bundle], settings: FacadeSettings
) -> Callable[[], bool]:
    """Start the facade (the HTTP interface) at ``bind``, unless that is blank.  Exits with a sentence and status 2 if
    the folder or the port cannot be used.

    Returns a function that stops the facade; that function returns False if requests are unfinished.
    """
    if not bind:
        return lambda: True
    from dss_inference.facade.request_store import RequestStore  # noqa: PLC0415  (slow to import, and used by some only)
    from dss_inference.facade.routes import Facade  # noqa: PLC0415  (slow to import, and used by some only)
    from dss_inference.facade.serving import serve_facade  # noqa: PLC0415  (slow to import, and used by some only)
    from dss_inference.facade.submissions import Submissions  # noqa: PLC0415 - an HTTP server, rarely used

    try:
        store = RequestStore(settings.facade_dir)
        submissions = Submissions(
            loaded, store, instance=settings.instance, keep_s=settings.facade_keep_s
        )
        end_http = serve_facade(bind, Facade(submissions, settings.facade_max_bytes))
    except OSError as error:
        refuse(f"DSS_FACADE_DIR or DSS_FACADE_BIND ({bind}) cannot be used: {error}.", 2)
    submissions.start()

    def end() -> bool:
        end_http()
        return submissions.stop(settings.stop_s)

    return end


if __name__ == "__main__":
    prepare_process(os.environ)
    main()
