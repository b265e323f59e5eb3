"""Finds the page with the form that is posted to an address.  A user who reloads the page after a form, or opens its
address again, sends GET to an address that takes only POST.
"""

from quart import current_app, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter, RequestRedirect

from dss_portal.pages import addresses

_ELSEWHERE = {
    "pages.accept_terms": addresses.SIGN_IN,
    "pages.own_tickets.undelete": addresses.TICKETS,
    "pages.admin.tickets.undelete": addresses.ADMIN_TICKETS,
    "pages.admin.users.create_token": addresses.ADMIN_USERS,
}
"""By endpoint, the page with its form, if that is not the nearest page above its path."""


def page_with_form() -> str | None:
    """The path of the page that has the form for the address of this request, if that address belongs to a page and
    takes only POST; otherwise None.
    """
    routes = current_app.create_url_adapter(request)
    if routes is None or request.method != "GET":
        return None
    endpoint = _endpoint(routes, request.path, "POST")
    if not endpoint.startswith("pages."):
        return None
    return _ELSEWHERE.get(endpoint) or _page_above(routes, request.path)


def _page_above(routes: MapAdapter, path: str) -> str:
    """The longest path above ``path`` that is the address of a page; that of the first page if there is no other."""
    while path := path.rpartition("/")[0]:
        if _endpoint(routes, path, "GET").startswith("pages."):
            return path
    return addresses.HOME


def _endpoint(routes: MapAdapter, path: str, method: str) -> str:
    """The endpoint that answers requests for ``path`` with ``method``; "" if there is none."""
    try:
        endpoint, _ = routes.match(path, method=method)
    except (HTTPException, RequestRedirect):
        return ""
    return str(endpoint)
