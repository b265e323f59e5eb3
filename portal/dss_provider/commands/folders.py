"""``dss service new`` and ``check``: the folder of a service."""

from pathlib import Path

import click

from dss_broker.dispatch_section import Modality
from dss_client.options import NamedPath
from dss_client.output import say
from dss_provider import new_folder
from dss_provider.errors import ServiceInvalid
from dss_provider.folder import load

folder_name = click.argument("folder", type=NamedPath(), help="folder with service.json")


@click.command()
@click.argument("folder", type=NamedPath(), help="folder to make; its name becomes the service's")
@click.option(
    "--modality",
    type=click.Choice([kind.value for kind in Modality]),
    default=Modality.ANY.value,
    show_default=True,
    help="what the image's values mean",
)
@click.option(
    "--run",
    metavar="COMMAND",
    default="",
    help='a program instead of a function: "prog {image} {labels}"',
)
@click.option(
    "--container",
    metavar="IMAGE",
    default="",
    help="a container image, in which --run is run",
)
def new(*, folder: Path, modality: str, run: str, container: str) -> None:
    """Make a folder that works at once: service.json, algorithm.py, a test, a README."""
    command = new_folder.command_from(run)
    made = new_folder.make(folder, Modality(modality), command, container)
    say(f"{folder} holds {', '.join(made)}.")
    for fault in _faults(folder):
        say(f"Still needed: {fault}")
    begin = "look at" if run else "write"
    say(f"Next: {begin} {folder}/{made[-1]}, then dss service test {folder} IMAGE")


def _faults(folder: Path) -> list[str]:
    try:
        load(folder)
    except ServiceInvalid as error:
        return str(error).splitlines()
    return []


@click.command()
@folder_name
def check(*, folder: Path) -> None:
    """Print all faults of a service's folder, and which of its texts are still the template's.  A function's file is
    imported, in a process of its own.  Exit status 2 if there is a fault.
    """
    from dss_provider.running import require_loadable  # noqa: PLC0415  (takes a while to import)

    found = load(folder)
    require_loadable(found)
    say(f"{found.descriptor.name} {found.descriptor.version}: usable.")
    say(f'A single segmentation is named "{found.dispatch.segmentation}" (dispatch.segmentation).')
    for sentence in new_folder.placeholders(found):
        say(sentence)
