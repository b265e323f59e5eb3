"""Removes the files of a ticket."""

from dss_datastore import layout
from dss_portal.datastore import Datastore
from dss_portal.intake.states import State
from dss_portal.models import Intake


async def remove_files(datastore: Datastore, ticket_id: int) -> None:
    """Delete all files of a ticket.  If other tickets need some of them (``is_needed``), nothing is deleted now; a
    later round of ``cleanup`` does it.
    """
    if not await is_needed(ticket_id):
        await datastore.remove_ticket(ticket_id)


async def is_needed(ticket_id: int) -> bool:
    """True while other tickets need files in the ticket's folder.  An upload of several DICOM series becomes several
    tickets, and the images that were read from it are in the folder of the first ticket until they are placed.
    """
    folder = layout.ticket_dir(ticket_id)
    placed = Intake.filter(state=State.PLACING, images__contains=f'"{folder}/')
    return await placed.exclude(ticket_id=ticket_id).exists()
