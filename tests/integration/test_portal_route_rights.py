"""Who gets in where: every route of the portal against ``tests/data/route_rights.txt``.

Each request is made as each of ROLES, in a transaction that is rolled back.  It gets *in* unless it is
refused for who makes it; a complaint about its parameters counts as in, since rights are checked first.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from quart import Response
from quart.typing import TestClientProtocol as Client
from tortoise.transactions import in_transaction
from werkzeug.routing import Rule

from dss_portal.accounts import api_tokens
from dss_portal.accounts import store as accounts
from dss_portal.admin import store as admin
from dss_portal.models import Status, Ticket, TicketLog, User
from support.portals import Portal, new_ticket, post, send_file, submitted_ticket, text

pytestmark = [pytest.mark.stack]

TABLE = Path(__file__).parents[1] / "data" / "route_rights.txt"
ROLES = (
    "anonymous",
    "user",
    "owner",
    "provider",
    "provider-admin",
    "sysadmin",
    "token:tickets",
    "token:provider",
    "token:admin",
)
COOKIE = "webpy_session_id"
NOT_YOURS = re.compile(
    r"not found for user|not been claimed by user|not readable by user|\d+ does not exist"
)
OPEN_TO_ALL = {"/token", "/api/login"}
"""Whose 401 is about the token that is sent, not about who sends it."""


class _Undo(Exception):
    """Ends a transaction without a commit."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Sessions and headers by role; what the placeholders of addresses mean, by role where that matters."""

    portal: Portal
    sessions: dict[str, str]
    headers: dict[str, dict[str, str]]
    form_tokens: dict[str, str]
    githash: str
    provider_id: int
    user_id: int
    log_id: int
    new: int
    failed: int
    held: dict[str, int]

    def client(self, role: str) -> Client:
        """A fresh one, since an answer may take the cookie away."""
        client = self.portal.app.test_client()
        if role in self.sessions:
            client.set_cookie("localhost", COOKIE, self.sessions[role])
        return client

    def address(self, rule: str, method: str, role: str) -> str:
        """``rule`` with what exists in this scene."""
        ticket = self.held.get(role, self.held["provider"])
        if method == "POST" and rule.startswith("/api/tickets/"):
            ticket = self.new
        if rule.endswith("/retry"):
            ticket = self.failed
        values = {
            "ticket_id": ticket,
            "log_id": self.log_id,
            "githash": self.githash,
            "provider": "dss",
            "user_id": self.user_id,
            "area": "input",
            "index": 0,
            "kind": "mail",
            "category": "info",
            "which": "all",
            "public_id": "0" * 32,
            "upload_id": "0" * 32,
            "token": "0" * 32,
            "name": "w.itksnap",
            "filename": "portal.css",
        }
        number = (
            self.provider_id if "/providers/" in rule or "adminservices" in rule else self.user_id
        )
        values["number"] = number
        return re.sub(r"<(?:[^<>]*:)?(\w+)>", lambda found: str(values[found[1]]), rule)

    def form(self, rule: str, role: str) -> dict[str, str]:
        """Enough to get past what is looked at before rights."""
        form = {"form_token": self.form_tokens.get(role, "")}
        if rule == "/api/tickets/<int:ticket_id>/status":
            form["status"] = "ready"
        if rule == "/api/tickets/<int:ticket_id>/title":
            form["title"] = "x"
        if rule.startswith("/api/pro/"):
            form |= {"services": self.githash, "provider": "dss"}
        if rule == "/acceptterms":
            form["cb"] = "on"
        return form


@pytest.fixture
async def scene(portal: Portal) -> Scene:
    await portal.announce_service()
    emails = {role: f"{role}@example.com" for role in ROLES[1:6]}
    clients = {
        role: await portal.user(email, sysadmin=role == "sysadmin")
        for role, email in emails.items()
    }
    listed = json.loads(await text(clients["user"], "/api/services?format=json"))["result"]
    githash = str(listed[0]["githash"])
    for role in ("provider", "provider-admin"):
        await admin.add_provider_user("dss", emails[role], admin=role == "provider-admin")

    # Tokens are those of somebody who may do everything, so that only their scope can be in the way.
    chief = await portal.user("chief@example.com", sysadmin=True)
    await admin.add_provider_user("dss", "chief@example.com", admin=True)
    user = await accounts.user_named("chief@example.com")
    headers: dict[str, dict[str, str]] = {}
    for scope in api_tokens.SCOPES:
        token = await api_tokens.create(user, scope, [scope], None)
        headers[f"token:{scope}"] = {"Authorization": f"Bearer {token}"}

    owner, claims = clients["owner"], f"/api/pro/services/{githash}/claims"
    held: dict[str, int] = {}
    for role, client in (("provider", clients["provider"]), ("chief", chief)):
        held[role] = await submitted_ticket(owner)
        assert await post(client, claims, provider="dss") == (200, str(held[role]))
    failed = await submitted_ticket(owner)
    await Ticket.filter(id=failed).update(status=Status.FAILED)
    new = await new_ticket(owner)
    await send_file(owner, f"/api/tickets/{new}/files/input", "b.itksnap", b"<registry/>")
    log = await TicketLog.filter(ticket_id=held["provider"]).first()
    assert log is not None
    form_tokens = {role: await _form_token(client) for role, client in clients.items()}
    await post(owner, "/acceptterms", cb="on")
    return Scene(
        portal=portal,
        sessions={role: _session(client) for role, client in clients.items()},
        headers=headers,
        form_tokens=form_tokens,
        githash=githash,
        provider_id=(await admin.provider_named("dss")).id,
        user_id=(await User.get(email="provider@example.com")).id,
        log_id=log.id,
        new=new,
        failed=failed,
        held={"provider": held["provider"]}
        | {f"token:{s}": held["chief"] for s in api_tokens.SCOPES},
    )


def _session(client: Client) -> str:
    (cookie,) = [c for c in client.cookie_jar or () if c.name == COOKIE]
    return cookie.value or ""


async def _form_token(client: Client) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', await text(client, "/token"))
    assert found is not None
    return found[1]


def _routes(portal: Portal) -> list[tuple[str, str]]:
    """Method and rule, those last that remove something from the disk."""
    found = [(m, rule.rule) for rule in portal.app.url_map.iter_rules() for m in _methods(rule)]
    return sorted(found, key=lambda route: ("delete" in route[1], "purge" in route[1], route[1]))


def _methods(rule: Rule) -> set[str]:
    return set(rule.methods or ()) - {"HEAD", "OPTIONS"}


async def _gets_in(scene: Scene, method: str, rule: str, role: str) -> bool:
    answer = await _asked(scene, method, rule, role)
    said = "" if answer.status_code == 200 else await answer.get_data(as_text=True)
    assert answer.status_code < 500, (method, rule, role, said)
    if answer.status_code in {401, 403}:
        return rule in OPEN_TO_ALL and method == "POST"
    if answer.status_code == 303 and rule not in {"/acceptterms", "/logout"}:
        return not answer.headers["Location"].endswith(("/token", ":8080/"))
    return not (answer.status_code in {400, 404} and NOT_YOURS.search(said))


async def _asked(scene: Scene, method: str, rule: str, role: str) -> Response:
    """The answer; whatever the request changed in the database is undone."""
    client, headers = scene.client(role), scene.headers.get(role)
    address = scene.address(rule, method, role)
    answer: Response | None = None
    try:
        async with in_transaction():
            if method == "POST":
                answer = await client.post(address, headers=headers, form=scene.form(rule, role))
            else:
                ask = {"GET": client.get, "PATCH": client.patch, "DELETE": client.delete}[method]
                answer = await ask(address, headers=headers)
            raise _Undo
    except _Undo:
        assert answer is not None
        return answer


def _table() -> dict[tuple[str, str], list[str]]:
    lines = [
        line
        for line in TABLE.read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    rows = [re.fullmatch(r"(\S+) +(.+?) +([+.]( [+.]){8})", line) for line in lines]
    assert all(rows), "a line has not a method, an address and a sign for each role"
    signs = {(row[1], row[2]): row[3].split() for row in rows if row}
    return {
        route: [role for role, sign in zip(ROLES, marks, strict=True) if sign == "+"]
        for route, marks in signs.items()
    }


async def test_every_route_lets_in_whom_the_table_names_and_nobody_else(scene: Scene) -> None:
    routes, table = _routes(scene.portal), _table()
    assert sorted(routes) == sorted(table), (
        "the table lacks a route, or names one that is not there"
    )

    scene.portal.components.streams.end()  # or the answer of /live has no end
    found = {
        (method, rule): [role for role in ROLES if await _gets_in(scene, method, rule, role)]
        for method, rule in routes
    }

    assert {route: roles for route, roles in found.items() if roles != table[route]} == {}
