"""``dss send``: sends one image with a live display, or many images as a batch."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from dss_client.batch import Batch
from dss_client.batch_items import SUCCESS, Item, items_of
from dss_client.batch_journal import RESULTS
from dss_client.batch_screen import BatchScreen
from dss_client.console import (
    HOME,
    INTERRUPTED,
    Jar,
    Server,
    Token,
    connected,
    jar_of,
    local_errors,
    sign_in,
)
from dss_client.errors import ClientError, ImageUnreadable
from dss_client.itksnap import ItkSnap
from dss_client.outputs import check_file, check_folder
from dss_client.previews import preview
from dss_client.printable import printable
from dss_client.report import summary, write_report
from dss_client.screen import Screen
from dss_client.sending import Sent, chosen, send
from dss_client.shipment import Source

ENDS = (signal.SIGTERM, signal.SIGHUP)

Sources = Annotated[
    list[Path],
    typer.Argument(
        help="one or more of: workspace (.itksnap), NIfTI, NRRD or MetaImage file; DICOM folder, file, DICOMDIR or zip archive"
    ),
]
SeriesName = Annotated[
    str,
    typer.Option(
        metavar="N",
        help="of a DICOM folder: a number that `dss images` shows, 3.2 for the second phase of series 3, "
        "or a SeriesInstanceUID  [default: the CT or MR with the most slices]",
        show_default=False,
    ),
]


def send_image(
    images: Sources,
    *,
    service: Annotated[
        str,
        typer.Option(help="its name, as `dss services` shows it, or its hash", show_default=False),
    ] = "",
    series: SeriesName = "",
    tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG=FILE", help="a further image of the service")
    ] = None,
    each: Annotated[
        bool,
        typer.Option(
            "--each", help="a ticket for each image and each DICOM series below the folders"
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be sent, and send nothing")
    ] = False,
    server: Server = HOME,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="folder for the results  [default: ticket_<number>; of several images dss-results]",
        ),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="write the outcome to this file")] = None,
    delete: Annotated[
        bool, typer.Option("--delete/--keep", help="delete the ticket after the download")
    ] = False,
    token: Token = None,
    jar: Jar = None,
) -> None:
    """Send images, follow their tickets, download the results and measure the labels.

    Several images keep the quota full and end with tables, results.csv and volumes.csv; the same command again goes on
    where it was ended.
    """
    if len(images) > 1 or each:
        _refuse_for_several(series=series, json=json, delete=delete, tag=tag)
        items = _items(images, each=each)
        if dry_run:
            typer.echo(
                printable("\n".join(f"{i.name}  {i.source} {i.series}".rstrip() for i in items))
            )
            return
        _require_service(service)
        with connected(server, jar) as client:
            sign_in(client, token, jar_of(server, jar))
            _send_all(client, items, service, output or Path("dss-results"))
        return
    (image,) = images
    source = Source(path=image, series=series, tagged=_tagged(tag or []))
    screen = Screen()
    if dry_run:
        with local_errors(), screen:
            screen.stage("Reading the image")
            lines = preview(image, series, screen.shared)
        typer.echo(printable("\n".join(lines)))
        return
    _require_service(service)
    with connected(server, jar) as client, _interruptible(screen, server):
        check_folder(output)
        check_file(json)
        sign_in(client, token, jar_of(server, jar))
        with screen:
            sent = send(client, source, service, output, screen)
        if json is not None:
            write_report(sent, json)
        _tell(sent)
        if delete:
            client.delete(sent.ticket)


def _require_service(service: str) -> None:
    if not service:
        raise typer.BadParameter(
            "the name of a service is missing; dss services lists them", param_hint="--service"
        )


def _refuse_for_several(
    *, series: str, json: Path | None, delete: bool, tag: list[str] | None
) -> None:
    given = {"--series": series, "--json": json, "--delete": delete, "--tag": tag}
    for name, value in given.items():
        if value:
            raise typer.BadParameter("this is for one image alone", param_hint=name)


def _tagged(words: list[str]) -> dict[str, Path]:
    pairs = [word.partition("=") for word in words]
    if any(not (name and path) for name, _, path in pairs):
        raise typer.BadParameter("TAG=FILE is needed", param_hint="--tag")
    return {name: Path(path) for name, _, path in pairs}


def _items(images: list[Path], *, each: bool) -> list[Item]:
    with local_errors():
        for image in images:
            if not image.exists():
                raise ImageUnreadable(f"There is no file {image}.")
        return items_of(images, each=each)


def _send_all(client: ItkSnap, items: list[Item], service: str, output: Path) -> None:
    """Send the items as a batch.  Exits with status 1 if an item has not succeeded."""
    check_folder(output)
    with BatchScreen(len(items)) as screen:
        try:
            Batch(client, chosen(client, service), output, screen).run(items)
        except KeyboardInterrupt:
            typer.echo("What is submitted goes on; the same command again goes on, too.", err=True)
            raise typer.Exit(INTERRUPTED) from None
    done = sum(item.status == SUCCESS for item in items)
    typer.echo(f"{done} of {len(items)} succeeded; {output / RESULTS} has them all.")
    if done < len(items):
        raise typer.Exit(1)


@contextmanager
def _interruptible(screen: Screen, server: str) -> Iterator[None]:
    """Ctrl-C ends only the watching; say so.  The ends of a terminal or machine count like it."""
    earlier = {number: signal.signal(number, _interrupt) for number in ENDS}
    try:
        yield
    except KeyboardInterrupt:
        if screen.running:
            typer.echo(f"Ticket {screen.ticket} goes on. To watch it again:", err=True)
            typer.echo(f"  dss log {screen.ticket} --follow --server {server}", err=True)
            typer.echo(f"  dss download {screen.ticket} FOLDER --server {server}", err=True)
        _tell_what_is_left(screen, server)
        raise typer.Exit(INTERRUPTED) from None
    except (ClientError, OSError):
        _tell_what_is_left(screen, server)
        raise
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _tell_what_is_left(screen: Screen, server: str) -> None:
    """If a ticket was created and neither submitted nor withdrawn, say how to delete it."""
    if screen.ticket and not screen.running:
        typer.echo(f"Ticket {screen.ticket} was not submitted. To remove it:", err=True)
        typer.echo(f"  dss delete {screen.ticket} --server {server}", err=True)


def _tell(sent: Sent) -> None:
    """Print the summary.  Without results, print the state and the errors, and exit with status 1."""
    if sent.results is not None:
        typer.echo(printable("\n".join(summary(sent.results))))
        return
    typer.echo(f"Ticket {sent.ticket}: {sent.status}.", err=True)
    for line in sent.log:
        if line.category == "error":
            typer.echo(printable(f"  {line.message}", indent=2), err=True)
    raise typer.Exit(1)
