"""``dss service test``: runs the algorithm on one image, on this machine alone or for a real ticket of a portal."""

import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dss_client.batch_items import stem_of
from dss_client.command_group import FAILED, INTERRUPTED
from dss_client.console import ExplainedError, local_errors
from dss_client.options import NamedPath
from dss_client.output import say
from dss_client.result_paths import check_folder
from dss_provider.commands.folders import folder_name
from dss_provider.commands.site import BEAT_S, Site, instance, publisher_of, tell, token_for
from dss_provider.errors import AlgorithmFailed, Withdrawn
from dss_provider.folder import ServiceFolder, load
from dss_provider.outcome import Point
from dss_provider.trial_arguments import images_by_tag, points_by_tag, require_files, require_tags

if TYPE_CHECKING:
    from dss_provider.trial import TrialInput


@click.command("test")
@folder_name
@click.argument(
    "image",
    type=NamedPath(),
    help="for the service's tag: NIfTI, NRRD or MetaImage file; DICOM folder, file, DICOMDIR or zip archive",
)
@click.option(
    "--series", default="", metavar="N", help="of a DICOM folder: a number that `dss images` shows"
)
@click.option("--tag", multiple=True, metavar="TAG=FILE", help="a further image of the service")
@click.option("--landmark", multiple=True, metavar="TAG=X,Y,Z", help="a landmark, in LPS, mm")
@click.option(
    "--time-point",
    type=click.IntRange(min=1),
    metavar="N",
    help="the time point of a 4-D image that a user would choose, from 1",
)
@click.option("--output", "-o", type=NamedPath(), help="folder for the results and a picture")
@click.option(
    "--server",
    default="",
    metavar="URL",
    help="send it to this portal as a real ticket, and serve that from here",
)
@click.option(
    "--token",
    envvar="DSS_TOKEN",
    show_envvar=True,
    default="",
    help="for --server: one with the scopes provider and tickets",
)
@click.option(
    "--provider",
    default="",
    help="for --server: your provider's name, if the service is not listed",
)
def try_here(
    *,
    folder: Path,
    image: Path,
    series: str,
    tag: tuple[str, ...],
    landmark: tuple[str, ...],
    time_point: int | None,
    output: Path | None,
    server: str,
    token: str,
    provider: str,
) -> None:
    """Run the algorithm on an image on this machine, with the steps and checks of a ticket.  DICOM is read as dss send
    reads it.  With --server, a real ticket is sent to that portal and processed here.
    """
    service = load(folder)
    inputs = {service.dispatch.tag: image.resolve(), **images_by_tag(tag)}
    places = points_by_tag(landmark)
    require_files(inputs)
    require_tags(service, inputs, places)
    _require_empty(output)
    signal.signal(signal.SIGTERM, _end)  # like Ctrl-C, so that files are removed
    with tempfile.TemporaryDirectory(prefix="dss-test-") as work:
        if server:
            if places:
                inputs = _in_workspace(service, inputs, series, places, Path(work))
            sent = "" if places else series
            site = Site(server, token, provider)
            raise click.exceptions.Exit(
                _run_on_server(
                    service, site, inputs, series=sent, output=output, time_point=time_point
                )
            )
        images = _converted(inputs, {service.dispatch.tag: series}, Path(work))
        _try(service, _input(images, places, time_point), Path(work), output)


def _input(
    images: dict[str, Path], landmarks: dict[str, Point], time_point: int | None
) -> "TrialInput":
    from dss_provider.trial import TrialInput  # noqa: PLC0415  (takes a while to import)

    return TrialInput(images=images, landmarks=landmarks, time_point=time_point)


def _converted(inputs: dict[str, Path], series: dict[str, str], work: Path) -> dict[str, Path]:
    """``inputs``, where DICOM is replaced by NIfTI files in a new folder in ``work``."""
    from dss_provider.trial_images import converted  # noqa: PLC0415  (takes a while to import)

    folder = work / "converted"
    folder.mkdir()
    with local_errors():
        return converted(inputs, series, folder, tell)


def _in_workspace(
    service: ServiceFolder,
    inputs: dict[str, Path],
    series: str,
    places: dict[str, Point],
    work: Path,
) -> dict[str, Path]:
    """A workspace, made in ``work``, with the images ``inputs`` and the landmarks ``places``, by the service's own tag;
    ``dss send`` takes landmarks in no other way.  Raises ExplainedError if the main image is refused.
    """
    from dss_provider.trial_ticket import write_workspace  # noqa: PLC0415  (takes a while to import)

    main = service.dispatch.tag
    path = work / "sent" / f"{stem_of(inputs[main])}.itksnap"
    path.parent.mkdir()
    try:
        write_workspace(service, _converted(inputs, {main: series}, work), places, path)
    except AlgorithmFailed as error:
        raise ExplainedError(str(error)) from error
    return {main: path}


def _require_empty(output: Path | None) -> None:
    """Raises ExplainedError if the folder for the results exists and has content, and OutputUnusable if it cannot be
    made or written to.
    """
    if output is not None:
        check_folder(output)
    if output is not None and output.exists() and any(output.iterdir()):
        raise ExplainedError(f"{output} is not empty; name a new folder.")


def _end(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _try(
    service: ServiceFolder, trial_input: "TrialInput", work: Path, output: Path | None
) -> None:
    from dss_provider.trial import PICTURE, run_trial  # noqa: PLC0415  (takes a while to import)

    try:
        found = run_trial(service, trial_input, work, _progressed)
    except AlgorithmFailed as error:
        if error.detail:
            say(error.detail, error=True)
        say(str(error), error=True)
        raise click.exceptions.Exit(FAILED) from error
    except Withdrawn as error:
        raise click.exceptions.Exit(INTERRUPTED) from error
    say("\n".join(found.lines))
    if output is None:
        say("--output FOLDER keeps the results, with a picture.", error=True)
        return
    output.mkdir(parents=True, exist_ok=True)
    for file in found.files:
        shutil.copy(file, output)
    shown = f"; {PICTURE} shows them" if (output / PICTURE).exists() else ""
    say(f"The results are in {output}{shown}.")


def _progressed(fraction: float, text: str) -> None:
    say(f"{100 * fraction:3.0f} % {text}", error=True)


def _run_on_server(
    service: ServiceFolder,
    site: Site,
    inputs: dict[str, Path],
    *,
    series: str,
    output: Path | None,
    time_point: int | None,
) -> int:
    from dss_provider.server_trial import SendArguments, run_server_trial  # noqa: PLC0415  (takes a while to import)

    publisher, _ = publisher_of(service, site, BEAT_S, lambda _: None)
    sent = SendArguments(
        service=service,
        server=site.server,
        token=token_for(site.server, site.token),
        images=inputs,
        series=series,
        output=output,
        time_point=time_point,
    )
    return run_server_trial(sent, publisher, instance())
