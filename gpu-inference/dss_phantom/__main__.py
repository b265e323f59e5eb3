"""``dss-phantom``: makes a synthetic chest CT with the true segmentation of its lungs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from dss_process.commands import version_option

if TYPE_CHECKING:
    from dss_phantom.chest import Phantom, PhantomSpec

main = typer.Typer(add_completion=False)


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
    version: Annotated[bool, version_option("dss-phantom")] = False,  # noqa: ARG001 - its callback has used it
) -> None:
    """Make a synthetic chest CT, with the truth about its lungs."""
    from dss_phantom.chest import PhantomSpec  # noqa: PLC0415 - two seconds of CPU time, also for --help

    spec = PhantomSpec(
        size=size, spacing_mm=spacing, orientation=orientation, oblique_deg=oblique, seed=seed
    )
    made = _made(spec)
    _write(made, folder)
    typer.echo(f"left lung {made.left_ml:.0f} ml, right lung {made.right_ml:.0f} ml")


def _made(spec: "PhantomSpec") -> "Phantom":
    """Compute the phantom on the device of the settings.  Exits with status 2 if it cannot be made."""
    from dss_broker.reading_settings import read_settings  # noqa: PLC0415 - as above
    from dss_inference.device.runner import runner_for  # noqa: PLC0415 - as above
    from dss_inference.errors import InferenceError  # noqa: PLC0415
    from dss_inference.settings import DeviceSettings  # noqa: PLC0415
    from dss_phantom.chest import make_phantom  # noqa: PLC0415

    settings = read_settings(DeviceSettings)
    try:
        return make_phantom(spec, runner_for(settings.device, settings.threads))
    except InferenceError as error:
        _refuse(str(error))


def _write(made: "Phantom", folder: Path) -> None:
    """Write the phantom's files.  Exits with status 2 if the folder cannot take them."""
    from dss_phantom.files import write_phantom  # noqa: PLC0415 - as above

    try:
        write_phantom(made, folder)
    except OSError as error:
        _refuse(f"{folder} cannot take the files of a phantom: {error.strerror or error}.")


def _refuse(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(2)


if __name__ == "__main__":
    main()
