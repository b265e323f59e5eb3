"""All operations of the API, for the OpenAPI document.  A test compares them with the routes."""

from dataclasses import KW_ONLY, dataclass
from typing import Literal

Shape = Literal["text", "table", "csv", "json", "bytes", "nothing"]


@dataclass(frozen=True)
class Operation:
    """One operation of the API.

    ``query``, ``form`` and ``headers`` name its parameters; the name of a required one ends with ``!``.  ``sends_file``: the form is
    multipart with a file ``myfile``.  ``gives`` is the type of a successful response, and ``status`` its status;
    ``table`` stands for CSV without a header row, or JSON with ``format=json``.  ``public``: no sign-in is needed.
    """

    method: str
    path: str
    summary: str
    _: KW_ONLY
    query: tuple[str, ...] = ()
    form: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    sends_file: bool = False
    gives: Shape = "text"
    status: int = 200
    public: bool = False


_T = "/api/tickets/{ticket_id}"
_P = "/api/pro/tickets/{ticket_id}"
_A = "/api/admin/providers/{provider}"
_S = "/api/pro/services"
_D = "/api/admin/dead-letters"
_CLAIM = ("provider!", "code", "key", "announced")


def _uploads(address: str) -> tuple[Operation, ...]:
    """The operations of resumable uploads (tus protocol) at and below the path ``address``."""
    upload = f"{address}/{{upload_id}}"
    begin = "Begin a resumable upload (tus); its address"
    again = "Go on with an upload, for clients that cannot send PATCH (X-HTTP-Method-Override)"
    return (
        Operation(
            "options",
            address,
            "Which extensions of the tus protocol are supported",
            gives="nothing",
            status=204,
            public=True,
        ),
        Operation("post", address, begin, gives="nothing", status=201),
        Operation("patch", upload, "Go on with an upload", gives="nothing", status=204),
        Operation("post", upload, again, gives="nothing", status=204),
        Operation(
            "delete",
            upload,
            "End an upload and remove what was received",
            gives="nothing",
            status=204,
        ),
    )


OPERATIONS = (
    Operation("get", "/api/login", "Who is signed in", query=("format",)),
    Operation(
        "post", "/api/login", "Sign in by a one-time token", form=("token!", "format"), public=True
    ),
    Operation("get", "/api/token", "A fresh one-time token, once the terms are accepted"),
    Operation(
        "get",
        "/api/oauth2cb",
        "Back from the OpenID Connect issuer",
        query=("state", "code"),
        gives="nothing",
        status=303,
        public=True,
    ),
    Operation(
        "post",
        "/api/device",
        "Begin the sign-in of a command line (RFC 8628)",
        form=("machine!", "scope", "callback"),
        gives="json",
        public=True,
    ),
    Operation(
        "post",
        "/api/device/token",
        "The token, after a person has allowed it on the page `/device`",
        form=("device_code!", "code"),
        gives="json",
        public=True,
    ),
    Operation("post", "/api/device/revoke", "Revoke the Bearer token of this request"),
    Operation("get", "/api/openapi.json", "This description", gives="json", public=True),
    Operation("get", "/api/services", "Services that take tickets", gives="table"),
    Operation("get", "/api/services/{githash}/detail", "The service's service.json", gives="json"),
    Operation(
        "get",
        "/api/services/{githash}/stats",
        "Tickets and times of the service in the last 24 hours",
        gives="table",
    ),
    Operation(
        "get",
        "/api/services/estimates",
        "How long a ticket would take, and how many come before it",
        query=("voxels", "bytes"),
        gives="table",
    ),
    Operation("get", "/api/tickets", "The user's tickets", gives="table"),
    Operation(
        "get",
        "/api/tickets/estimates",
        "When the user's waiting and claimed tickets will end; the oldest 500 at most",
        gives="table",
    ),
    Operation(
        "get",
        "/api/tickets/summary",
        "The user's tickets with names and times",
        gives="table",
    ),
    Operation(
        "post",
        "/api/tickets",
        "A new ticket; its number",
        form=("githash", "name"),
        headers=("Idempotency-Key",),
    ),
    Operation("get", f"{_T}/files/{{area}}", "Files of an area: index and name", gives="csv"),
    Operation("post", f"{_T}/files/{{area}}", "Add a file before submitting", sends_file=True),
    Operation("get", f"{_T}/files/{{area}}/{{index}}", "A file", gives="bytes"),
    *_uploads(f"{_T}/uploads"),
    Operation("get", f"{_T}/archive", "All results as one zip archive", gives="bytes"),
    Operation("get", f"{_T}/checksums", "SHA-256 of each result", gives="table"),
    Operation(
        "post",
        f"{_T}/intake",
        "Say which files will be uploaded as which images; when all have come, they are read and the ticket is queued",
        form=("request!", "title"),
    ),
    Operation("get", f"{_T}/intake", "Progress of the ticket's upload", gives="json"),
    Operation("get", "/api/batch", "The cases that the user sends from a browser", gives="json"),
    Operation("post", "/api/batch", "Add or change cases", form=("cases!",)),
    Operation("post", "/api/batch/remove", "Remove cases from the list", form=("keys",)),
    Operation(
        "post",
        f"{_T}/workspace",
        "Write the workspace of a ticket that has one NIfTI file",
        form=("title",),
    ),
    Operation("get", f"{_T}/status", "The ticket's state"),
    Operation("post", f"{_T}/status", "Submit the ticket", form=("status!",)),
    Operation(
        "post",
        f"{_T}/title",
        "Name the ticket; only its owner sees the name. At most 120 characters are kept; an empty text removes the name",
        form=("title!",),
    ),
    Operation("get", f"{_T}/log", "The ticket's log", query=("since",), gives="table"),
    Operation("get", f"{_T}/progress", "Progress of the ticket, 0 to 1"),
    Operation("get", f"{_T}/queuepos", "The ticket's place in its service's queue"),
    Operation(
        "get", f"{_T}/detail", "State, progress, place and log", query=("since",), gives="json"
    ),
    Operation("get", f"{_T}/retry", "Queue a failed ticket again"),
    Operation("get", f"{_T}/delete", "Delete the ticket and its files"),
    Operation(
        "get",
        "/api/tickets/logs/{log_id}/attachments",
        "Attachments of a log line, with links",
        gives="table",
    ),
    Operation("get", _S, "Services that the user works for", gives="table"),
    Operation(
        "post",
        "/api/pro/publishers",
        "Announce that a program serves these services, or that it stops",
        form=("services!", "code!", "parallel", "ends", "others"),
    ),
    Operation(
        "get",
        f"{_S}/{{githash}}/detail",
        "What users read of a service that the user provides",
        gives="json",
    ),
    Operation(
        "post", f"{_S}/{{githash}}/claims", "Claim a ticket of a service; -1 if none", form=_CLAIM
    ),
    Operation(
        "post",
        f"{_S}/claims",
        "Claim a ticket of any of the services; None if none",
        form=("services!", *_CLAIM, "format"),
        gives="table",
    ),
    Operation(
        "post",
        f"{_S}/available",
        "Which of the services have waiting tickets",
        form=("services!", "format"),
        gives="table",
    ),
    Operation("get", f"{_P}/status", "The ticket's state; renews the claim", query=("announced",)),
    Operation(
        "post",
        f"{_P}/status",
        "End the ticket: success or failed",
        form=("status!", "announced"),
    ),
    Operation("get", f"{_P}/files/{{area}}", "Files of an area: index and name", gives="csv"),
    Operation(
        "post",
        f"{_P}/files/{{area}}",
        "Add a file; it replaces one of the same name",
        sends_file=True,
    ),
    Operation("get", f"{_P}/files/{{area}}/{{index}}", "A file", gives="bytes"),
    Operation("post", f"{_P}/{{category}}", "Add a log line; its number", form=("message!", "key")),
    Operation(
        "post",
        f"{_P}/attachments",
        "Attach a file to the next log line; its number",
        form=("desc!", "mime_type"),
        sends_file=True,
    ),
    *_uploads(f"{_P}/uploads"),
    Operation("get", f"{_P}/progress", "Progress of the ticket, 0 to 1"),
    Operation(
        "post",
        f"{_P}/progress",
        "How far a part of the work is; 0 sets it back",
        form=("chunk_start!", "chunk_end!", "progress!", "announced"),
    ),
    Operation(
        "get", "/api/admin/providers", "All providers, including removed ones", gives="table"
    ),
    Operation("post", "/api/admin/providers", "A new provider", form=("name!",)),
    Operation("get", f"{_A}/delete", "Remove a provider"),
    Operation("get", f"{_A}/users", "Users who work for a provider", gives="table"),
    Operation(
        "post", f"{_A}/users", "Allow a user to work for the provider", form=("email!", "admin")
    ),
    Operation(
        "get",
        f"{_A}/users/{{user_id}}/delete",
        "Take from a user the right to work for the provider",
    ),
    Operation("get", f"{_A}/services", "What a provider offers", gives="table"),
    Operation(
        "post",
        f"{_A}/services",
        "Register a service from Git, or from the text of a service.json (descriptor); its hash",
        form=("repo", "ref", "descriptor"),
    ),
    Operation("get", f"{_A}/services/{{githash}}/delete", "Withdraw a service"),
    Operation("get", "/api/admin/tickets", "Everybody's tickets", gives="table"),
    Operation(
        "post",
        "/api/admin/tickets/purge/{which}",
        "Delete tickets older than so many days or hours",
        form=("days", "hours"),
    ),
    Operation("get", _D, "Messages that no program could handle (dead letters)", gives="table"),
    Operation(
        "post",
        f"{_D}/requeue",
        "Put the tickets of dead letters back into their queues",
        form=("id", "all"),
    ),
    Operation(
        "post", f"{_D}/discard", "Remove dead letters for good", form=("id", "all", "confirm!")
    ),
)
