"""``dss send``: sends one image with a live display, or many images as a batch."""

from collections.abc import Sequence
from pathlib import Path

import click

from dss_client import options
from dss_client.commands.several_images import send_several
from dss_client.commands.single_image import (
    ServerAccess,
    SingleImage,
    preview_one,
    send_one,
)
from dss_client.send_options import SendOptions
from dss_submission.preparing import Source
from dss_submission.region import Region, box_in

SOURCES = "one or more of: workspace (.itksnap), NIfTI, NRRD or MetaImage file; DICOM folder, file, DICOMDIR or zip archive"
SERIES = (
    "of a DICOM folder: a number that `dss images` shows, 3.2 for the second phase of series 3, or a SeriesInstanceUID  "
    "[default: the CT or MR with the most slices]"
)
A_PATH = options.NamedPath()


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
    metavar="TEXT",
    help="what the ticket is called in your list, which only you see; of several images, the name of each follows; '' for no name  [default: the name of the file or folder]",
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
    name: str | None,
    no_wait: bool,
    output: Path | None,
    json: Path | None,
    delete: bool,
    server: str,
    token: str | None,
    jar: Path | None,
) -> None:
    """Send images, follow their tickets, download the results and measure the labels.

    Several images are sent as fast as your quota of open tickets allows; the outcome is in the tables results.csv and
    volumes.csv.  If the command was interrupted, the same command continues.  Without the extra `images`, NIfTI files
    and workspaces of NIfTI files are sent unchanged, and labels are not measured.
    """
    send_options = SendOptions(
        tagged=_tagged(tags), region=_region(crop, time_point), name=name, wait=not no_wait
    )
    single = SingleImage(output=output, series=series, json=json, delete=delete)
    access = ServerAccess(server=server, token=token, jar=jar)
    if len(images) > 1 or each or len(services) > 1:
        send_several(images, services, send_options, single, access, each=each, dry_run=dry_run)
    elif dry_run:
        preview_one(Source(path=images[0], series=series, tagged=send_options.tagged))
    else:
        send_one(images[0], services, send_options, single, access)


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
