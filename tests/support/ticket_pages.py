"""Forms of a ticket's page, and a ticket that succeeds with log lines and files."""

from quart.typing import TestClientProtocol as Client

from dss_broker.messages import (
    AttachedFile,
    ClaimGranted,
    ClaimLogged,
    ClaimSucceeded,
    Label,
    ResultFile,
)
from dss_datastore import layout
from dss_portal.models import Status, Ticket
from support.portals import (
    Portal,
    eventually,
    submitted_ticket,
)

MARKUP = b"<script>window.ran=1</script><u>lines</u>"
LABELS = (
    Label(value=1, name="left lung", rgb=(84, 155, 224), volume_ml=2176.4),
    Label(value=2, name="<b>right</b>", rgb=(240, 146, 88), volume_ml=0.0),
)


async def log(portal: Portal, granted: ClaimGranted, name: str, content: bytes, mime: str) -> None:
    """A line with a file that the dispatcher has left."""
    folder = portal.datastore / layout.attached_dir(granted.ticket_id, granted.claim_id)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    file = AttachedFile(name=name, description=f"The {name}", mime_type=mime)
    await portal.tell(
        ClaimLogged(
            ticket_id=granted.ticket_id,
            claim_id=granted.claim_id,
            level="info",
            text=f"See {name}.",
            attachments=(file,),
        )
    )


async def succeed(portal: Portal, granted: ClaimGranted, verdict: str = "") -> None:
    folder = portal.datastore / layout.staging_dir(granted.ticket_id, granted.claim_id)
    folder.mkdir(parents=True)
    contents = {"a.itksnap": b"<registry/>", "lungs.nii.gz": b"voxels" * 100}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    files = tuple(
        ResultFile(name=name, size_bytes=len(content), sha256="")
        for name, content in contents.items()
    )
    await portal.tell(
        ClaimSucceeded(
            ticket_id=granted.ticket_id,
            claim_id=granted.claim_id,
            files=files,
            labels=LABELS,
            verdict=verdict,
        )
    )
    await status_becomes(granted.ticket_id, Status.SUCCESS)


async def status_becomes(ticket_id: int, status: Status) -> None:
    await eventually(lambda: Ticket.get(id=ticket_id), lambda ticket: ticket.status is status)


async def finished_ticket(portal: Portal, ann: Client) -> int:
    """A ticket with results and everything that may be attached."""
    ticket_id = await submitted_ticket(ann)
    granted = await portal.granted(ticket_id)
    await log(portal, granted, "picture.png", b"\x89PNG", "image/png")
    await log(portal, granted, "found.csv", b"number,what\n1,<i>x</i>\n", "text/csv")
    await log(portal, granted, "quality.txt", b"A & B", "text/plain")
    await log(portal, granted, "page.html", MARKUP, "text/html")
    await log(portal, granted, "drawing.svg", b"<svg>" + MARKUP + b"</svg>", "image/svg+xml")
    await log(portal, granted, "script.js", b"window.ran=1", "text/javascript")
    await portal.tell(
        ClaimLogged(
            ticket_id=granted.ticket_id,
            claim_id=granted.claim_id,
            level="warning",
            text="The lungs are at the border.",
        )
    )
    await succeed(portal, granted, "look at it")
    return ticket_id
