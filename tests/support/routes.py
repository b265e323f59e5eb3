"""The addresses of all pages, from the table of routes, for a site that has something of everything."""

import re
from pathlib import Path

from support import showcase
from support.showcase import Showcase

TABLE = Path(__file__).parents[1] / "data" / "route_rights.txt"
NO_PAGES = re.compile(
    r"/(api|blobs|static|open|live|healthz|readyz|signin|service\.schema\.json)\b|download|\.csv|\.json"
)
NOWHERE = "/nothing-here"


def routes(column: int, *, but: int | None = None) -> list[str]:
    """Addresses of pages that the ``column``-th kind of visitor may see, and the ``but``-th may not."""
    found = []
    for line in TABLE.read_text("utf-8").splitlines():
        if not line.startswith("GET ") or NO_PAGES.search(line):
            continue
        _, address, *rights = line.split()
        if rights[column - 1] == "+" and (but is None or rights[but - 1] == "."):
            found.append(address)
    assert found
    return found


def filled(address: str, ticket: int, shown: Showcase) -> str:
    """Numbers are those of the ticket, of the first provider, of the user."""
    (number, githash), *_ = shown.site.sql(
        "SELECT provider_id, githash FROM provider_service p JOIN service s ON s.id = p.service_id "
        "WHERE s.name = $1 AND s.current",
        showcase.OFFLINE,
    )
    ((user_id,),) = shown.site.sql("SELECT id FROM user_account WHERE email = $1", showcase.CLAIMER)
    values = {"ticket_id": ticket, "user_id": user_id, "githash": githash, "number": number}
    if "/users/<" in address and "providers" not in address:
        values["number"] = user_id
    if "/tokens/" in address:
        ((values["number"],),) = shown.site.sql("SELECT min(id) FROM api_token")
    for name, value in values.items():
        address = re.sub(rf"<[^<>]*?(\([^)]*\))?:{name}>", str(value), address)
    assert "<" not in address, f"{address}: how to fill this in?"
    return address


def page_visits(shown: Showcase) -> dict[str, list[str]]:
    """Addresses by visitor: ``user``, ``root``, ``nobody``."""
    states = [shown.good, shown.warned, shown.failed, shown.at_work, shown.waiting]
    states += [shown.unsubmitted, shown.going]
    of_user = [filled(address, shown.good, shown) for address in routes(3)]
    of_root = [filled(address, shown.at_work, shown) for address in routes(6, but=3)]
    return {
        "user": [*dict.fromkeys([*of_user, *(f"/tickets/{n}" for n in states), NOWHERE])],
        "root": [*of_root, f"/admin/users?edit={showcase.USER}", "/admintickets?status=timeout"],
        "nobody": ["/", "/token", "/about", NOWHERE],
    }
