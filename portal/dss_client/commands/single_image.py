"""Sends one image for ``dss send`` and shows its progress, or shows what would be sent."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from dss_client.batch_items import stem_of
from dss_client.command_group import FAILED
from dss_client.commands.interruptions import interruptible
from dss_client.console import connected, jar_of, local_errors, sign_in
from dss_client.errors import ImageUnreadable
from dss_client.itksnap import ItkSnap
from dss_client.output import say
from dss_client.report import summary, write_report
from dss_client.result_paths import check_file, check_folder
from dss_client.screen import Screen
from dss_client.send_options import SendOptions
from dss_client.sending import Sent, Stopwatch, selected_service, send, submit
from dss_images.dicom.errors import NoSeries
from dss_submission.parts import image_files, parts_of
from dss_submission.preparing import Source


@dataclass(frozen=True, kw_only=True)
class ServerAccess:
    """A server, with the credentials for signing in there."""

    server: str
    token: str | None
    jar: Path | None


@dataclass(frozen=True, kw_only=True)
class SingleImage:
    """Options of ``dss send``.  ``output`` is the folder for the results.  The others apply only to a single image: its
    series, a JSON file for the outcome, and whether the ticket is deleted after the download.
    """

    output: Path | None
    series: str
    json: Path | None
    delete: bool


def require_service(services: Sequence[str]) -> None:
    if not any(services):
        raise click.BadParameter(
            "the name of a service is missing; dss services lists them", param_hint="--service"
        )


def preview_one(source: Source) -> None:
    from dss_client.previews import preview  # noqa: PLC0415  (needs the extra ``images``)

    screen = Screen()
    with local_errors(), screen, _hinted(source.path):
        screen.stage("Reading the image")
        lines = preview(source, screen.show_share)
    say("\n".join(lines))


def send_one(
    image: Path,
    services: Sequence[str],
    send_options: SendOptions,
    single: SingleImage,
    access: ServerAccess,
) -> None:
    require_service(services)
    service = services[0]
    source = Source(
        path=image, series=single.series, tagged=send_options.tagged, region=send_options.region
    )
    title = stem_of(image) if send_options.name is None else send_options.name
    if not image.exists():
        raise ImageUnreadable(f"There is no file {image}.")
    screen = Screen()
    with connected(access.server, access.jar) as client, interruptible(screen, access.server):
        check_folder(single.output)
        check_file(single.json)
        sign_in(client, access.token, jar_of(access.server, access.jar))
        with screen, _hinted(image):
            if not send_options.wait:
                _submit(client, source, service, screen, title)
                _note_unsent(image, screen)
                return
            sent = send(client, source, service, single.output, screen, title=title)
            _note_unsent(image, screen)
        if single.json is not None:
            write_report(sent, single.json)
        _tell(sent)
        if single.delete:
            client.delete(sent.ticket)


def _submit(client: ItkSnap, source: Source, service: str, screen: Screen, title: str) -> None:
    """Submit a ticket, and show how long it is expected to take and the command that follows it."""
    found = selected_service(client, service)
    if sentence := client.service_estimates().get(found.githash):
        screen.note(sentence)
    ticket = submit(client, source, found, screen, Stopwatch(), title=title)
    screen.note(f"To follow it: dss watch {ticket}")


def _note_unsent(image: Path, screen: Screen) -> None:
    """If ``image`` is a folder of DICOM files with other images in it, say that these were not sent."""
    if image.is_dir() and (others := image_files(image)):
        what = "1 other image" if len(others) == 1 else f"{len(others)} other images"
        screen.note(f"Not sent: {what} in {image}. With --each, each becomes a ticket.")


@contextmanager
def _hinted(image: Path) -> Iterator[None]:
    """A context for reading ``image``.  If ``image`` is a folder without DICOM files but with other images, the error
    advises to name one of them or to use ``--each``.
    """
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


def _tell(sent: Sent) -> None:
    """Print the summary of the results.  Without results, print the ticket's state and errors, and exit with status 1."""
    if sent.results is not None:
        say("\n".join(summary(sent.results)))
        return
    say(f"Ticket {sent.ticket}: {sent.status}.", error=True)
    for line in sent.log:
        if line.category == "error":
            say(f"  {line.message}", error=True, indent=2)
    raise click.exceptions.Exit(FAILED)
