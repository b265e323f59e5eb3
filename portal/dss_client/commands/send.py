"""``dss send``: sends one image with a live display, or many images as a batch."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import click

from dss_client import options
from dss_client.batch import Batch, What
from dss_client.batch_items import SUBMITTED, SUCCESS, Item, for_services, items_of, unsent
from dss_client.batch_journal import RESULTS
from dss_client.batch_screen import BatchScreen
from dss_client.command_group import FAILED, INTERRUPTED
from dss_client.commands.interruptions import ends_as_interrupts, interruptible
from dss_client.console import connected, jar_of, local_errors, sign_in
from dss_client.errors import ImageUnreadable
from dss_client.output import say
from dss_client.outputs import check_file, check_folder
from dss_client.printable import on_one_line
from dss_client.report import summary, write_report
from dss_client.screen import Screen
from dss_client.sending import Sent, Stopwatch, chosen, send, submit
from dss_images.dicom.errors import NoSeries
from dss_images.dicom.scan_cache import one_scan_per_source
from dss_submission.left_out import LeftOut, left_out
from dss_submission.parts import parts_of
from dss_submission.preparing import Source
from dss_submission.region import Region, box_in

SOURCES = "one or more of: workspace (.itksnap), NIfTI, NRRD or MetaImage file; DICOM folder, file, DICOMDIR or zip archive"
SERIES = (
    "of a DICOM folder: a number that `dss images` shows, 3.2 for the second phase of series 3, or a SeriesInstanceUID  "
    "[default: the CT or MR with the most slices]"
)
A_PATH = options.NamedPath()
UNNAMED = (
    "The tickets have no names in your list, since a file's name may name a patient; {} says which is which. "
    "--name TEXT gives each the text and its file's name."
)
REASONS = 20
"""Most images whose reasons are repeated at the end of a batch."""


@dataclass(frozen=True, kw_only=True)
class ServerAccess:
    """A server, with the credentials for signing in there."""

    server: str
    token: str | None
    jar: Path | None


@dataclass(frozen=True, kw_only=True)
class One:
    """Options for a single image: its series, a file for the outcome, and deletion afterwards."""

    output: Path | None
    series: str
    json: Path | None
    delete: bool


@click.command("send")
@click.argument("images", nargs=-1, required=True, type=A_PATH, metavar="IMAGE...", help=SOURCES)
@click.option(
    "--service",
    "services",
    multiple=True,
    help="its name, as `dss services` shows it, or its hash; several send each image to each",
)
@click.option("--series", default="", metavar="N", help=SERIES)
@click.option(
    "--tag", "tags", multiple=True, metavar="TAG=FILE", help="a further image of the service"
)
@click.option(
    "--crop",
    metavar="X0:X1,Y0:Y1,Z0:Z1",
    help="look at this box only: voxels from 0, the second of each pair is the first one outside",
)
@click.option(
    "--time-point",
    type=click.IntRange(1, 10**6),
    metavar="N",
    help="look at this time point of a 4-D image, from 1",
)
@click.option(
    "--each", is_flag=True, help="a ticket for each image and each DICOM series below the folders"
)
@click.option("--dry-run", is_flag=True, help="say what would be sent, and send nothing")
@click.option(
    "--name",
    default="",
    metavar="TEXT",
    help="what the ticket is called in your list; of several images, the name of each follows  [default: no name, since a file's may name a patient]",
)
@click.option(
    "--no-wait",
    is_flag=True,
    help="end when everything is submitted; dss watch and dss download go on",
)
@click.option(
    "--output",
    "-o",
    type=A_PATH,
    help="folder for the results  [default: ticket_<number>; of several images dss-results]",
)
@click.option("--json", type=A_PATH, metavar="FILE", help="write the outcome to this file")
@click.option("--delete/--keep", default=False, help="delete the ticket after the download")
@options.connection
def send_images(
    *,
    images: tuple[Path, ...],
    services: tuple[str, ...],
    series: str,
    tags: tuple[str, ...],
    crop: str | None,
    time_point: int | None,
    each: bool,
    dry_run: bool,
    name: str,
    no_wait: bool,
    output: Path | None,
    json: Path | None,
    delete: bool,
    server: str,
    token: str | None,
    jar: Path | None,
) -> None:
    """Send images, follow their tickets, download the results and measure the labels.

    Several images keep the quota full and end with tables, results.csv and volumes.csv; the same command again goes on
    where it was ended.  Without the extra `images`, NIfTI files and workspaces of them are sent as they are, and labels are not
    measured.
    """
    what = What(tagged=_tagged(tags), region=_region(crop, time_point), name=name, wait=not no_wait)
    one = One(output=output, series=series, json=json, delete=delete)
    place = ServerAccess(server=server, token=token, jar=jar)
    if len(images) > 1 or each or len(services) > 1:
        with one_scan_per_source():  # a folder may have hundreds of series
            _send_several(images, services, what, one, place, each=each, dry_run=dry_run)
    elif dry_run:
        _preview(Source(path=images[0], series=series, tagged=what.tagged))
    else:
        _require_service(services)
        _send_one(images[0], services[0], what, one, place)


def _preview(source: Source) -> None:
    from dss_client.previews import preview  # noqa: PLC0415  (needs the extra ``images``)

    screen = Screen()
    with local_errors(), screen, _hinted(source.path):
        screen.stage("Reading the image")
        lines = preview(source, screen.shared)
    say("\n".join(lines))


def _send_one(image: Path, service: str, what: What, one: One, place: ServerAccess) -> None:
    source = Source(
        path=image, series=one.series, tagged=what.tagged, region=what.region, name=what.name
    )
    screen = Screen()
    with connected(place.server, place.jar) as client, interruptible(screen, place.server):
        check_folder(one.output)
        check_file(one.json)
        sign_in(client, place.token, jar_of(place.server, place.jar))
        with screen, _hinted(image):
            if not what.wait:
                ticket = submit(client, source, chosen(client, service), screen, Stopwatch())
                screen.note(f"To follow it: dss watch {ticket}")
                return
            sent = send(client, source, service, one.output, screen)
        if one.json is not None:
            write_report(sent, one.json)
        _tell(sent)
        if one.delete:
            client.delete(sent.ticket)


@contextmanager
def _hinted(image: Path) -> Iterator[None]:
    """A context in which a folder of images that is no DICOM folder is refused with what to do."""
    try:
        yield
    except ImageUnreadable as error:
        found = parts_of(image) if image.is_dir() and isinstance(error.__cause__, NoSeries) else []
        if not found:
            raise
        raise ImageUnreadable(
            f"{image} is no DICOM folder. It has {len(found)} other image file{'s' * (len(found) > 1)}, "
            f"such as {found[0].source.name}: name one, or take --each for all."
        ) from error


def _send_several(
    images: Sequence[Path],
    services: Sequence[str],
    what: What,
    one: One,
    place: ServerAccess,
    *,
    each: bool,
    dry_run: bool,
) -> None:
    _refuse_for_several(series=one.series, json=one.json, delete=one.delete)
    if what.tagged and (len(images) > 1 or each):
        raise click.BadParameter("this is for one image alone", param_hint="--tag")
    items, rest = _items(images, each=each)
    for told in rest.sentences():
        say(on_one_line(told), error=True)
    what = replace(what, unsent=unsent(rest.foreign))
    if dry_run:
        say("\n".join(f"{i.name}  {i.source} {i.series}".rstrip() for i in items))
        return
    _require_service(services)
    items = for_services(items, list(dict.fromkeys(services)))
    folder = one.output or Path("dss-results")
    with connected(place.server, place.jar) as client:
        check_folder(folder)
        sign_in(client, place.token, jar_of(place.server, place.jar))
        found = {service: chosen(client, service) for service in dict.fromkeys(services)}
        estimates = client.service_estimates()
        for service, each_one in found.items():
            if sentence := estimates.get(each_one.githash):
                say(f"{service}: {sentence}")
        if not what.name:
            say(UNNAMED.format(folder / RESULTS), error=True)
        _run(items, folder, lambda screen: Batch(client, found, folder, screen, what=what))


def _require_service(services: Sequence[str]) -> None:
    if not any(services):
        raise click.BadParameter(
            "the name of a service is missing; dss services lists them", param_hint="--service"
        )


def _refuse_for_several(*, series: str, json: Path | None, delete: bool) -> None:
    for name, value in {"--series": series, "--json": json, "--delete": delete}.items():
        if value:
            raise click.BadParameter("this is for one image alone", param_hint=name)


def _region(crop: str | None, time_point: int | None) -> Region:
    box = box_in(crop) if crop is not None else None
    if crop is not None and box is None:
        raise click.BadParameter(
            f"'{crop}' is no box such as 10:200,0:180,5:90, at least two voxels along each axis",
            param_hint="--crop",
        )
    return Region(box=box, time_point=time_point)


def _tagged(words: Sequence[str]) -> dict[str, Path]:
    pairs = [word.partition("=") for word in words]
    if any(not (name and path) for name, _, path in pairs):
        raise click.BadParameter("TAG=FILE is needed", param_hint="--tag")
    return {name: Path(path) for name, _, path in pairs}


def _items(images: Sequence[Path], *, each: bool) -> tuple[list[Item], LeftOut]:
    """The items, and the files that are left out."""
    with local_errors():
        for image in images:
            if not image.exists():
                raise ImageUnreadable(f"There is no file {image}.")
        return items_of(images, each=each), left_out(images) if each else LeftOut()


def _run(items: list[Item], folder: Path, made: Callable[[BatchScreen], Batch]) -> None:
    """Send the items as a batch.  Exits with status 1 if an item has not succeeded."""
    with BatchScreen(len(items)) as screen, ends_as_interrupts():
        try:
            made(screen).run(items)
        except KeyboardInterrupt:
            say("What is submitted goes on; the same command again goes on, too.", error=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
    done = sum(item.status == SUCCESS for item in items)
    under_way = sum(item.status == SUBMITTED for item in items)
    if under_way:
        say(f"{under_way} are submitted; the same command without --no-wait fetches their results.")
    _tell_reasons([item for item in items if item.ended and item.status != SUCCESS])
    say(f"{done} of {len(items)} succeeded; {folder / RESULTS} has them all.")
    if done + under_way < len(items):
        raise click.exceptions.Exit(FAILED)


def _tell_reasons(items: Sequence[Item]) -> None:
    """Repeat at the end why images have not succeeded, which may have scrolled away."""
    for item in items[:REASONS]:
        say(on_one_line(f"{item.name}: {item.status}. {item.reason}").rstrip())
    if len(items) > REASONS:
        say(f"And {len(items) - REASONS} more.")


def _tell(sent: Sent) -> None:
    """Print the summary.  Without results, print the state and the errors, and exit with status 1."""
    if sent.results is not None:
        say("\n".join(summary(sent.results)))
        return
    say(f"Ticket {sent.ticket}: {sent.status}.", error=True)
    for line in sent.log:
        if line.category == "error":
            say(f"  {line.message}", error=True, indent=2)
    raise click.exceptions.Exit(FAILED)
