"""Sends many images as a batch for ``dss send``, and prints at the end which images have not succeeded."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import click

from dss_client.batch import Batch
from dss_client.batch_items import SUBMITTED, SUCCESS, Item, for_services, items_of, unsent
from dss_client.batch_journal import RESULTS
from dss_client.batch_screen import BatchScreen
from dss_client.command_group import FAILED, INTERRUPTED
from dss_client.commands.interruptions import ends_as_interrupts
from dss_client.commands.single_image import ServerAccess, SingleImage, require_service
from dss_client.console import connected, jar_of, local_errors, sign_in
from dss_client.errors import ImageUnreadable
from dss_client.extras import installed
from dss_client.output import say
from dss_client.printable import on_one_line
from dss_client.result_paths import check_folder
from dss_client.send_options import SendOptions
from dss_client.sending import selected_service
from dss_submission.left_out import LeftOut, left_out

REASONS = 20
"""Largest number of images whose reasons are printed again at the end of a batch."""


def send_several(
    images: Sequence[Path],
    services: Sequence[str],
    send_options: SendOptions,
    single: SingleImage,
    access: ServerAccess,
    *,
    each: bool,
    dry_run: bool,
) -> None:
    """Send each image to each service as one batch, and wait for its end; with ``dry_run`` only list the images.

    Exits with status 1 if an image is neither submitted nor finished with success, and with 130 after Ctrl-C.
    """
    _refuse_for_several(series=single.series, json=single.json, delete=single.delete)
    if send_options.tagged and (len(images) > 1 or each):
        raise click.BadParameter("this is for one image alone", param_hint="--tag")
    with _one_scan():
        items, rest = _items(images, each=each)
        for sentence in rest.sentences():
            say(on_one_line(sentence), error=True)
        if dry_run:
            say("\n".join(f"{i.name}  {i.source} {i.series}".rstrip() for i in items))
            return
        require_service(services)
        send_options = replace(send_options, unsent=unsent(rest.foreign))
        folder = single.output or Path("dss-results")
        _send_items(items, list(dict.fromkeys(services)), folder, send_options, access)


def _send_items(
    items: list[Item],
    services: list[str],
    folder: Path,
    send_options: SendOptions,
    access: ServerAccess,
) -> None:
    """Sign in, print how long each of the ``services`` is expected to take, and send the items to each of them."""
    with connected(access.server, access.jar) as client:
        check_folder(folder)
        sign_in(client, access.token, jar_of(access.server, access.jar))
        selected = {service: selected_service(client, service) for service in services}
        estimates = client.service_estimates()
        for service, found in selected.items():
            if sentence := estimates.get(found.githash):
                say(f"{service}: {sentence}")
        _run(
            for_services(items, services),
            folder,
            lambda screen: Batch(client, selected, folder, screen, options=send_options),
        )


def _one_scan() -> AbstractContextManager[None]:
    """A context in which each DICOM folder is scanned only once, because it may have hundreds of series.  Without the
    extra ``images`` it does nothing.
    """
    if not installed("images"):
        return nullcontext()
    from dss_images.dicom.scan_cache import one_scan_per_source  # noqa: PLC0415  (needs the extra ``images``)

    return one_scan_per_source()


def _refuse_for_several(*, series: str, json: Path | None, delete: bool) -> None:
    for name, value in {"--series": series, "--json": json, "--delete": delete}.items():
        if value:
            raise click.BadParameter("this is for one image alone", param_hint=name)


def _items(images: Sequence[Path], *, each: bool) -> tuple[list[Item], LeftOut]:
    """The items of the batch, and the files below its folders that are not sent.  Raises ImageUnreadable if a path does
    not exist or there is no image.
    """
    with local_errors():
        for image in images:
            if not image.exists():
                raise ImageUnreadable(f"There is no file {image}.")
        return items_of(images, each=each), left_out(images) if each else LeftOut()


def _run(items: list[Item], folder: Path, made: Callable[[BatchScreen], Batch]) -> None:
    """Send the items as a batch.  Exits with status 1 if an item is neither submitted nor finished with success, and
    with 130 after Ctrl-C.
    """
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
    """Print once more why images have not succeeded, because the first message may have scrolled away."""
    for item in items[:REASONS]:
        say(on_one_line(f"{item.name}: {item.status}. {item.reason}").rstrip())
    if len(items) > REASONS:
        say(f"And {len(items) - REASONS} more.")
