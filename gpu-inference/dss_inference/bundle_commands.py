"""The commands ``dss-inference bundle list``, ``check`` and ``run``, by which people list, check and run bundles
without a broker.
"""

import tempfile
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import Progress

from dss_broker.reading_settings import read_settings
from dss_inference.bundle import Bundle, BundleOutcome
from dss_inference.bundle_catalogue import BUNDLES, load, monai_bundles, name_problem
from dss_inference.errors import InferenceError, innermost
from dss_inference.monai_bundles.bundle_checks import problems
from dss_inference.monai_bundles.folder import BundleFolder, read_folder
from dss_inference.settings import DeviceSettings

commands = typer.Typer(
    help="List, check and run bundles by hand, without a broker.",
    no_args_is_help=True,
    add_completion=False,
)


@commands.command("list")
def list_bundles() -> None:
    """List the bundles that can be served, and the faults of the others."""
    for name in sorted(BUNDLES):
        typer.echo(name)
    for name, root in monai_bundles(read_settings(DeviceSettings).bundles).items():
        found = [*filter(None, [name_problem(name)]), *problems(root)]
        typer.echo(" ".join([name, *(f"- {problem}" for problem in found)]))


@commands.command()
def check(
    folder: Annotated[Path, typer.Argument(help="A MONAI bundle.", exists=True, file_okay=False)],
    *,
    trial: Annotated[
        bool, typer.Option(help="Load the weights, and segment a small made-up image.")
    ] = True,
) -> None:
    """Say what keeps a MONAI bundle from being served; the exit status is 0 only if nothing does."""
    found = problems(folder)
    for number, problem in enumerate(found, start=1):
        typer.echo(f"{number}. {problem}", err=True)
    if found:
        raise typer.Exit(1)
    if trial:
        _try(folder)
    _introduce(read_folder(folder))


@commands.command()
def run(
    bundle: Annotated[
        str,
        typer.Argument(help="A MONAI bundle's folder, or a name from 'dss-inference bundle list'."),
    ],
    image: Annotated[Path, typer.Argument(help="NIfTI, NRRD or MetaImage.", exists=True)],
    *,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for the segmentation and the reports.")
    ],
    parameter: Annotated[
        list[str] | None, typer.Option("-p", help="NAME=VALUE, as in a service's parameters.")
    ] = None,
) -> None:
    """Segment one image without a worker."""
    parameters = dict(_pair(text) for text in parameter or ())
    loaded = load_or_refuse(bundle, read_settings(DeviceSettings))
    output.mkdir(parents=True, exist_ok=True)
    _show(_outcome(loaded, image, output, parameters), loaded.device)


def load_or_refuse(name: str, settings: DeviceSettings) -> Bundle:
    """The bundle ``name``, loaded as by ``load``.  Exits with a sentence and status 2 if there is no such bundle or
    device, or if the bundle cannot be used.
    """
    try:
        return load(name, settings.device, settings.threads, settings.bundles)
    except InferenceError as error:
        refuse(str(error), 2)


def refuse(sentence: str, code: int) -> NoReturn:
    """Print ``sentence`` to standard error and exit with the status ``code``."""
    typer.echo(sentence, err=True)
    raise typer.Exit(code)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        refuse(f"'{text}' is no NAME=VALUE.", 2)
    return name, value


def _try(folder: Path) -> None:
    from dss_inference.monai_bundles.trial_image import write_trial_image  # noqa: PLC0415  (SimpleITK)

    loaded = load_or_refuse(str(folder), read_settings(DeviceSettings))
    with tempfile.TemporaryDirectory() as scratch:
        _outcome(loaded, write_trial_image(Path(scratch)), Path(scratch), {})


def _outcome(
    bundle: Bundle, image: Path, folder: Path, parameters: dict[str, str]
) -> BundleOutcome:
    with Progress(console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task("starting", total=1.0)

        def show_progress(fraction: float, stage: str) -> None:
            bar.update(line, completed=fraction, description=stage)

        try:
            outcome = bundle.run(image, folder, parameters, show_progress, lambda: False)
        except InferenceError as error:
            refuse(str(error), 1)
        except MemoryError:
            refuse("There is not enough memory for this image with this bundle.", 1)
        except Exception as error:
            why = innermost(error)
            refuse(f"The bundle fails with {type(why).__name__}: {why}.", 1)
        show_progress(1.0, "done")
    return outcome


def _introduce(folder: BundleFolder) -> None:
    answer = "marks findings" if folder.is_detection else ", ".join(folder.labels.values())
    typer.echo(f"{folder.title} {folder.version} can be served as '{folder.name}': {answer}")
    if not folder.is_detection:
        typer.echo(f"One label map: {folder.channels.why}")


def _show(outcome: BundleOutcome, device: str) -> None:
    for label in outcome.labels:
        typer.echo(f"{label.value}  {label.name:<12} {label.volume_ml:8.1f} ml")
    for note in outcome.notes:
        typer.echo(f"{note.level}: {note.text}")
    for stage, seconds in outcome.stage_seconds.items():
        typer.echo(f"{seconds:7.2f} s  {stage}")
    typer.echo(f"{sum(outcome.stage_seconds.values()):7.2f} s  in all, on {device}")
    typer.echo(outcome.segmentation)
