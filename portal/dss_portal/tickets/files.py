"""Names under which files of a ticket may be kept, so that whoever fetches them can store them."""

from dss_broker import names
from dss_broker.datastore import Area
from dss_portal.errors import Refused
from dss_portal.tickets import store


def check_name(area: Area, name: str) -> None:
    """Raises Refused.  Of what users send, only what no client would save is refused: ITK-SNAP makes its names
    itself, and scripts have used others for years.
    """
    if fault := names.fault(name, everywhere=area == "results"):
        raise Refused(f"Not every system can store the file '{name}': {fault}. Rename it.")


async def check_twin(ticket_id: int, area: Area, name: str) -> None:
    """Among the results of a locked ticket.  Raises Refused."""
    if area != "results":
        return
    other = names.twin(name, [file.name for file in await store.files(ticket_id, area)])
    if other:
        raise Refused(f"'{name}' and '{other}' are the same file on some systems. Rename one.")
