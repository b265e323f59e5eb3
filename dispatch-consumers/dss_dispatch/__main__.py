"""The program ``dss-dispatch``: takes the tickets of one segmentation service, or only checks results of providers and
reads uploads.
"""

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from dss_broker.errors import BrokerClosed
from dss_broker.rabbit import RabbitBroker
from dss_broker.reading_settings import read_settings
from dss_broker.settings import cannot_listen
from dss_datastore.access import SharedDatastore
from dss_dispatch.checks import Checks
from dss_dispatch.consumer import Consumer
from dss_dispatch.errors import ServiceInvalid
from dss_dispatch.service import Service, builtin_services, load_service
from dss_dispatch.settings import ProgramSettings, ServiceSettings, Settings, service_url
from dss_dispatch.uploads.handling import ReadLimits
from dss_observability.logs import configure_logging
from dss_observability.serving import Missing, missing, serve_health
from dss_observability.telemetry import start_tracing
from dss_process.commands import add_version
from dss_process.proxies import ProxyUnusable, proxy_for
from dss_process.signals import exit_immediately, stop_signal, wait_for_stop
from dss_process.startup import prepare_process
from dss_process.supervision import Supervisor

log = logging.getLogger(__name__)


main = typer.Typer(
    help="Take the tickets of a segmentation service, one dispatcher for each service.",
    no_args_is_help=True,
    add_completion=False,
)
add_version(main, "dss-dispatch")


@main.command()
def serve(
    service: Annotated[str, typer.Argument(help="A folder with service.json, or a built-in name.")],
) -> None:
    """Take tickets until told to stop (SIGTERM or Ctrl-C).

    Needs DSS_AMQP_URL and DSS_DATASTORE or DSS_DATASTORE_URL; see infra/env.example for the rest.
    """
    loaded = _load(service)
    settings = read_settings(Settings)
    configure_logging("dispatch", json_lines=settings.log_json)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every request
    end_tracing = start_tracing("dispatch", settings.instance, os.environ)
    try:
        _serve(loaded, settings, _service_url(loaded))
    finally:
        end_tracing()
    exit_immediately()


@main.command("check-results")
def check_results() -> None:
    """Check results of providers over HTTP and read uploads of browsers; `serve` does both, too.

    For a site that has providers over HTTP and no dispatcher.  Needs DSS_AMQP_URL and DSS_DATASTORE or
    DSS_DATASTORE_URL.
    """
    settings = read_settings(ProgramSettings)
    configure_logging("dispatch", json_lines=settings.log_json)
    end_tracing = start_tracing("dispatch", settings.instance, os.environ)
    try:
        _serve_checks(settings)
    finally:
        end_tracing()
    exit_immediately()


@main.command()
def services() -> None:
    """List the services that come with the program."""
    for folder in builtin_services().values():
        service = load_service(folder)
        typer.echo(f"{service.name} {service.version} : {service.descriptor.shortdesc}")


@main.command()
def check(
    service: Annotated[str, typer.Argument(help="A folder with service.json, or a built-in name.")],
) -> None:
    """Say whether a service can be served, and by which algorithm; if not, which field is wrong."""
    loaded = _load(service)
    what = f"{loaded.dispatch.provider} '{loaded.dispatch.algorithm}'"
    typer.echo(f"{loaded.name} {loaded.version} can be served, by the {what}.")


def _load(service: str) -> Service:
    folder = Path(service) if Path(service).is_dir() else builtin_services().get(service)
    if folder is None:
        known = ", ".join(builtin_services())
        typer.echo(f"'{service}' is neither a folder nor a built-in service ({known}).", err=True)
        raise typer.Exit(2)
    try:
        return load_service(folder, ServiceSettings().service_changes)
    except ServiceInvalid as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def _datastore(settings: ProgramSettings) -> SharedDatastore:
    """The datastore of the settings.  Exits with a sentence if this machine cannot use it; logs a warning if it
    cannot be reached yet.
    """
    try:
        datastore = settings.shared_datastore()
    except ValueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    if reason := datastore.problem():
        log.warning("datastore away", extra={"reason": reason})
    return datastore


def _service_url(service: Service) -> str:
    """The address of the service's inference server, from the environment or else from service.json; "" if workers
    serve it through a queue.  Exits with a sentence if the environment has no valid address.
    """
    try:
        return service_url(service.name, os.environ) or service.server_url
    except ValueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error


def _proxy(service_url: str) -> str:
    """The address of the proxy for an inference server; "" for none.  Exits with a sentence if it cannot be used."""
    try:
        found = proxy_for(service_url, os.environ) if service_url else None
    except ProxyUnusable as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    return found.address if found else ""


def _serve(service: Service, settings: Settings, service_url: str) -> None:
    stop = stop_signal()
    amqp_url = settings.amqp_url.get_secret_value()
    datastore = _datastore(settings)
    broker = RabbitBroker(amqp_url, "dispatch", settings.instance)
    consumer = Consumer(
        broker,
        service,
        datastore,
        provider=settings.provider,
        instance=settings.instance,
        silence_s=settings.inference_silence_s,
        service_url=service_url,
        proxy=_proxy(service_url),
        reads=_limits(settings),
    )
    supervisor = Supervisor(stop)
    end_health = _serve_health(
        settings, broker, datastore, lambda: [*consumer.problems(), *supervisor.problems()]
    )
    starting = supervisor.start("serving", partial(_start, consumer, settings.parallel_tickets))
    try:
        wait_for_stop(stop)
        done = consumer.stop(settings.stop_s)
        log.info("stopped", extra={"service": service.name, "all_finished": done})
    finally:
        end_health()
        broker.close()
        starting.join()


def _serve_checks(settings: ProgramSettings) -> None:
    stop = stop_signal()
    datastore = _datastore(settings)
    broker = RabbitBroker(settings.amqp_url.get_secret_value(), "dispatch", settings.instance)
    checks = Checks(broker, datastore, instance=settings.instance, reads=_limits(settings))
    supervisor = Supervisor(stop)
    end_health = _serve_health(
        settings, broker, datastore, lambda: [*checks.problems(), *supervisor.problems()]
    )
    starting = supervisor.start("checking", partial(_start_checks, checks))
    try:
        wait_for_stop(stop)
        log.info("stopped", extra={"all_finished": checks.stop(settings.stop_s)})
    finally:
        end_health()
        broker.close()
        starting.join()


def _serve_health(
    settings: ProgramSettings, broker: RabbitBroker, datastore: SharedDatastore, problems: Missing
) -> Callable[[], None]:
    """Serve metrics and health for operators on the port of DSS_METRICS_BIND; returns a function that ends this.  Exits
    with a sentence if the port is in use.
    """
    try:
        return serve_health(
            settings.metrics_bind,
            lambda: [
                *missing(broker=broker.problem, datastore=datastore.problem()),
                *problems(),
            ],
        )
    except OSError as error:
        broker.close()
        typer.echo(cannot_listen("DSS_METRICS_BIND", settings.metrics_bind, error), err=True)
        raise typer.Exit(2) from error


def _start_checks(checks: Checks) -> None:
    """Wait for the broker, then check results and read uploads.  Returns when the program is stopped."""
    with suppress(BrokerClosed):
        checks.start()
        log.info("checking results")
        checks.keep_announcing()


def _limits(settings: ProgramSettings) -> ReadLimits:
    return ReadLimits(
        time_s=settings.upload_s, memory_bytes=round(settings.upload_memory_gb * 2**30)
    )


def _start(consumer: Consumer, parallel: int) -> None:
    """Wait for the broker, then take tickets and announce the service until stopped.  Returns early if the program is
    stopped.
    """
    with suppress(BrokerClosed):
        consumer.start(parallel=parallel)
        log.info("serving")
        consumer.keep_announcing()


if __name__ == "__main__":
    prepare_process(os.environ)
    main()
