"""``dss-inference``: serves bundles to dispatchers, runs one by hand, or makes a phantom."""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress

from dss_broker.errors import BrokerClosed
from dss_broker.rabbit import RabbitBroker
from dss_broker.stopping import leave_at_once, on_stop
from dss_inference.bundle import Bundle, Outcome
from dss_inference.errors import InferenceError
from dss_inference.measuring import loading, measure
from dss_inference.monai_bundles.folder import open_bundle, problems
from dss_inference.registry import BUNDLES, installed_in, load
from dss_inference.server import Server
from dss_inference.settings import DeviceSettings, FacadeSettings, Settings
from dss_observability.logs import configure_logging
from dss_observability.serving import missing, serve_health
from dss_observability.telemetry import start_tracing

log = logging.getLogger(__name__)
SettingsT = TypeVar("SettingsT", bound=DeviceSettings)

main = typer.Typer(
    help="Segment images with bundles, on a GPU if there is one.",
    no_args_is_help=True,
    add_completion=False,
)


@main.command()
def serve(
    bundle: Annotated[
        list[str] | None, typer.Option(help="A bundle to serve; may be repeated. Default: all.")
    ] = None,
) -> None:
    """Take requests until told to stop (SIGTERM or Ctrl-C).

    Needs DSS_AMQP_URL and DSS_DATASTORE; see infra/env.example for the rest.
    """
    settings = _settings(Settings)
    configure_logging("inference", json_lines=settings.log_json)
    end_tracing = start_tracing("inference", settings.instance, os.environ)
    try:
        _serve(_all_loaded(bundle, settings), settings)
    finally:
        end_tracing()


@main.command()
def facade(
    bundle: Annotated[
        list[str] | None, typer.Option(help="A bundle to serve; may be repeated. Default: all.")
    ] = None,
) -> None:
    """Take images over HTTP only, without a broker: POST /lung_segmentation/inference and so on.

    At DSS_FACADE_BIND, or 127.0.0.1:8080; 'serve' does the same beside its queues.
    """
    settings = _settings(FacadeSettings)
    configure_logging("inference", json_lines=settings.log_json)
    bind = settings.facade_bind or "127.0.0.1:8080"
    end_facade = _start_facade(bind, _all_loaded(bundle, settings), settings)
    _stop_signal().wait()
    log.info("stopped", extra={"all_finished": end_facade()})


@main.command()
def run(
    bundle: Annotated[
        str, typer.Argument(help="A name from 'dss-inference bundles', or a MONAI bundle's folder.")
    ],
    image: Annotated[Path, typer.Argument(help="NIfTI, NRRD or MetaImage.", exists=True)],
    output_dir: Annotated[Path, typer.Argument(help="Where the segmentation goes.")],
) -> None:
    """Segment one image here and now, without a broker."""
    loaded = _loaded(bundle, _settings(DeviceSettings))
    output_dir.mkdir(parents=True, exist_ok=True)
    with Progress(console=Console(stderr=True)) as bar:
        line = bar.add_task("starting", total=1.0)
        try:
            outcome = loaded.run(
                image,
                output_dir,
                {},
                lambda fraction, stage: bar.update(line, completed=fraction, description=stage),
                lambda: False,
            )
        except InferenceError as error:
            _refuse(str(error), 1)
        bar.update(line, completed=1.0, description="done")
    _show(outcome, loaded.device)


@main.command()
def bundles() -> None:
    """List the bundles that can be served, and what the others lack."""
    for name in sorted(BUNDLES):
        typer.echo(name)
    for name, root in installed_in(_settings(DeviceSettings).bundles).items():
        typer.echo(" ".join([name, *(f"- {problem}" for problem in problems(root))]))


@main.command()
def check(
    folder: Annotated[Path, typer.Argument(help="A MONAI bundle.", exists=True, file_okay=False)],
) -> None:
    """Say what keeps a MONAI bundle from being served; exit status 1 if anything does."""
    found = problems(folder)
    for problem in found:
        typer.echo(problem, err=True)
    if found:
        raise typer.Exit(1)
    opened = open_bundle(folder)
    labels = ", ".join(opened.labels.values())
    typer.echo(f"{opened.title} {opened.version} can be served as '{opened.name}': {labels}")


@main.command()
def phantom(
    folder: Annotated[Path, typer.Argument(help="Gets ct.nii.gz, truth.nii.gz and truth.json.")],
    *,
    size: Annotated[tuple[int, int, int], typer.Option(help="Voxels along x, y, z.")] = (
        128,
        128,
        104,
    ),
    spacing: Annotated[tuple[float, float, float], typer.Option(help="Their size in mm.")] = (
        3.0,
        3.0,
        3.0,
    ),
    orientation: Annotated[str, typer.Option(help="Where the axes go: LPS, RAS, PIR, ...")] = "LPS",
    oblique: Annotated[float, typer.Option(help="Tilt of the axes in degrees.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Each seed is another person.", min=0)] = 1,
) -> None:
    """Make a chest CT of nobody, with the truth about its lungs."""
    # These load torch, which the other commands should not wait for.
    from dss_inference.phantom.chest import PhantomSpec, make_phantom  # noqa: PLC0415
    from dss_inference.phantom.files import write_phantom  # noqa: PLC0415
    from dss_inference.runner import runner_for  # noqa: PLC0415

    settings = _settings(DeviceSettings)
    spec = PhantomSpec(
        size=size, spacing_mm=spacing, orientation=orientation, oblique_deg=oblique, seed=seed
    )
    try:
        made = make_phantom(spec, runner_for(settings.device, settings.threads))
    except InferenceError as error:
        _refuse(str(error), 2)
    write_phantom(made, folder)
    typer.echo(f"left lung {made.left_ml:.0f} ml, right lung {made.right_ml:.0f} ml")


def _refuse(sentence: str, code: int) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(code)


def _loaded(name: str, settings: DeviceSettings) -> Bundle:
    try:
        with loading(Path(name).name):
            return load(
                name, settings.device, settings.threads, settings.bundles, settings.bundle_bytes
            )
    except InferenceError as error:
        _refuse(str(error), 2)


def _all_loaded(names: list[str] | None, settings: DeviceSettings) -> list[Bundle]:
    """Those of ``names``, or whatever there is."""
    return [_loaded(name, settings) for name in names or [*sorted(BUNDLES), *_usable(settings)]]


def _usable(settings: DeviceSettings) -> list[str]:
    """Installed MONAI bundles; one that cannot be used keeps nobody from serving the others."""
    usable = []
    for name, root in installed_in(settings.bundles).items():
        if found := problems(root):
            log.warning("bundle left out", extra={"bundle": name, "why": " ".join(found)})
        else:
            usable.append(name)
    return usable


def _settings(kind: type[SettingsT]) -> SettingsT:
    """From the environment.  Exits with a sentence for each setting that is missing or wrong."""
    try:
        return kind()
    except ValidationError as error:
        lines = [f"DSS_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors()]
        _refuse("\n".join(lines), 2)


def _show(outcome: Outcome, device: str) -> None:
    for label in outcome.labels:
        typer.echo(f"{label.value}  {label.name:<12} {label.volume_ml:8.1f} ml")
    for note in outcome.notes:
        typer.echo(f"{note.level}: {note.text}")
    for stage, seconds in outcome.stage_seconds.items():
        typer.echo(f"{seconds:7.2f} s  {stage}")
    typer.echo(f"{sum(outcome.stage_seconds.values()):7.2f} s  in all, on {device}")
    typer.echo(outcome.segmentation)


def _serve(loaded: Sequence[Bundle], settings: Settings) -> None:
    end_facade = _start_facade(settings.facade_bind, loaded, settings)
    broker = RabbitBroker(settings.amqp_url.get_secret_value(), "inference", settings.instance)
    server = Server(
        broker=broker,
        bundles=loaded,
        datastore=settings.datastore,
        instance=settings.instance,
        ahead=settings.requests_ahead,
    )
    end_health = serve_health(
        settings.metrics_bind, lambda: missing(broker.connected, settings.datastore)
    )
    measure(loaded)
    stop = _stop_signal()
    starting = threading.Thread(target=_start, args=(server,))
    starting.start()
    try:
        stop.wait()
        done = server.stop(settings.stop_s) & end_facade()
        log.info("stopped", extra={"all_finished": done})
    finally:
        end_health()
        broker.close()
        starting.join()
    if not done:
        leave_at_once()


def _stop_signal() -> threading.Event:
    """Set by SIGTERM or Ctrl-C."""
    stop = threading.Event()
    on_stop(stop.set)
    return stop


def _start(server: Server) -> None:
    """Waits for the broker, however long it takes; in vain if the program is stopped meanwhile."""
    with suppress(BrokerClosed):
        server.start()


def _start_facade(
    bind: str, loaded: Sequence[Bundle], settings: FacadeSettings
) -> Callable[[], bool]:
    """What is returned ends it, and says whether nothing was left undone.  A blank ``bind`` starts nothing."""
    if not bind:
        return lambda: True
    from dss_inference.facade.desk import Desk  # noqa: PLC0415 - an HTTP server, which few need
    from dss_inference.facade.results import Results  # noqa: PLC0415
    from dss_inference.facade.routes import Facade  # noqa: PLC0415
    from dss_inference.facade.serving import serve_facade  # noqa: PLC0415

    try:
        results = Results(settings.facade_dir)
        desk = Desk(loaded, results, instance=settings.instance, keep_s=settings.facade_keep_s)
        end_http = serve_facade(bind, Facade(desk, settings.facade_max_bytes))
    except OSError as error:
        _refuse(f"DSS_FACADE_DIR or DSS_FACADE_BIND cannot be used: {error}", 2)
    desk.start()

    def end() -> bool:
        end_http()
        return desk.stop(settings.stop_s)

    return end


if __name__ == "__main__":
    main()
