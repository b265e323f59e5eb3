"""Writes the workspace of a ticket for whose input a client has uploaded one NIfTI file and nothing else.

The portal reads no voxels: the service checks the image when it takes the ticket.
"""

import asyncio
from collections.abc import AsyncIterator

from dss_broker.descriptor import descriptor_from
from dss_portal.datastore import Datastore
from dss_portal.datastore.pieces import Piece
from dss_portal.datastore.stored import StoredFile
from dss_portal.incoming import Incoming
from dss_portal.intake.requests import OF_MAIN_IMAGE
from dss_portal.models import Service, Ticket, TicketFile, User
from dss_portal.refusals import Refused
from dss_portal.scrubbing.image_headers import voxels_in
from dss_portal.settings import Settings
from dss_portal.tickets import files, received_files, store, submission
from dss_portal.tickets.reservation import Reservation
from dss_workspace.layers import Role, main_folder
from dss_workspace.registry import Folder, serialize

OTHER_KINDS = (
    "Send DICOM, NRRD and MetaImage files with the program dss, or a workspace from ITK-SNAP."
)


async def add_workspace(
    datastore: Datastore, settings: Settings, ticket: Ticket, user: User
) -> None:
    """Add a workspace with the ticket's only image to its input files, unless there is one already.  Raises Refused if
    the ticket does not have exactly one input file or if that is no NIfTI file, if the service needs more than an image,
    if the ticket accepts no files of ``user`` in its state, or if the quota has no room.
    """
    found = await store.files(ticket.id, "input")
    if any(files.is_workspace(file.name) for file in found):
        return
    submission.require_open(ticket, ticket.id, user)
    service = await ticket.service
    tags = _tags(service)
    image = await _image(datastore, ticket.id, found)
    sent = Incoming(name=f"ticket_{ticket.id:08d}.itksnap", fields={}, expected_bytes=0)
    sent.data = _once(serialize(_workspace(image, tags), is_project=False))
    reservation = Reservation(ticket, "input", sent, settings)
    await received_files.receive_file(datastore, reservation, user, scrubs=False)


def _tags(service: Service) -> list[str]:
    """The names of the tags that the main image gets: those that ITK-SNAP gives if only one image is loaded.  Raises
    Refused if the service requires tags of other objects.
    """
    descriptor = descriptor_from(service.descriptor)
    others = [t.name for t in descriptor.tags if t.required and t.type not in OF_MAIN_IMAGE]
    if others:
        raise Refused(
            f"{service.name} needs {', '.join(others)} besides an image; send a workspace from ITK-SNAP."
        )
    return [tag.name for tag in descriptor.tags if tag.type in OF_MAIN_IMAGE]


async def _image(datastore: Datastore, ticket_id: int, found: list[TicketFile]) -> str:
    """The name of the ticket's only input file.  Raises Refused if there is not exactly one, or if it is not NIfTI."""
    if len(found) != 1:
        raise Refused(
            f"A ticket without a workspace needs exactly one image, and has {len(found)}."
        )
    name = found[0].name
    file = await datastore.file(ticket_id, "input", found[0].place)
    if not await asyncio.to_thread(_is_nifti, file):
        raise Refused(f"The file is no NIfTI file, whatever its name says. {OTHER_KINDS}")
    return name


def _is_nifti(file: StoredFile) -> bool:
    try:
        return bool(voxels_in(file))
    except FileNotFoundError:
        return False


def _workspace(image: str, tags: list[str]) -> Folder:
    workspace = Folder(entries={"SaveLocation": "", "Version": ""})
    main = main_folder(workspace)
    main.set("AbsolutePath", image)
    main.set("Role", Role.MAIN)
    main.set("Tags", ",".join(tags))
    main.make("IOHints")
    return workspace


async def _once(data: bytes) -> AsyncIterator[Piece]:
    yield data
