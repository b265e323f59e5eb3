"""Checks that run before requests for pages: who is the user, may the user see the page, and was a form sent by one of
our pages?
"""

from urllib.parse import quote

from quart import Response, request, session

from dss_portal.accounts.origins import is_browser
from dss_portal.accounts.sessions import AFTER_SIGN_IN, Identity, identity, terms_are_due
from dss_portal.pages import addresses, forms
from dss_portal.pages.rendering import see_other
from dss_portal.refusals import Refused
from dss_portal.web.context import components

_LONGEST_PATH = 1000
"""Largest number of characters of a path that is stored in the browser's session cookie."""
ADMINS_ONLY = "Only administrators of this site may see this page."
_WITHOUT_TOKEN = {
    "pages.sign_in",  # there is no session yet; requests from other sites were refused before
    "pages.sending.send",  # checks the token itself, because a large file follows it in the form
}


async def person() -> Identity | None:
    """The user and session of a request for a page; None if nobody is signed in.  None also for a request with a Bearer
    token, because tokens are for programs.
    """
    scheme = request.headers.get("Authorization", "").partition(" ")[0]
    return None if scheme.lower() == "bearer" else await identity()


async def only_our_forms() -> Response | None:
    """Run before every request for a page: count the request against the user's limit, and check that a POST has the
    form token of one of our pages.  POSTs to the endpoints in _WITHOUT_TOKEN, and a program's POST that
    accepts the terms of use, are accepted without one.

    Returns a redirect to the sign-in page for a POST of a user who is not signed in; None if the request may proceed.
    Raises Refused if the user has made too many requests, or if the token is missing, too old or of another session.
    """
    found = await person()
    if found is not None:
        limits = components().limits
        limits.requests.count(str(found.user.id))
    if request.method != "POST" or request.endpoint in _WITHOUT_TOKEN or _is_old_script():
        return None
    if found is None:
        return await see_other(addresses.SIGN_IN)
    await forms.check(found)
    return None


async def only_signed_in() -> Response | None:
    return None if await person() and not terms_are_due() else await sign_in_first()


async def sign_in_first(to: str = addresses.SIGN_IN) -> Response:
    """Redirect to the page ``to``, on which the user signs in or finds a link to it.  After the sign-in the user
    returns to the page of this request.
    """
    return_here_after_sign_in()
    return await see_other(to)


def return_here_after_sign_in() -> None:
    """Make the sign-in return to the page of this request.  Does nothing if the request is not one for a page that a
    user has opened, or if its path is longer than _LONGEST_PATH.
    """
    if request.method != "GET" or request.headers.get("Sec-Fetch-Dest", "document") != "document":
        return  # the request is a form, or a file for one of our pages
    query = request.query_string.decode("ascii", "replace")
    path = quote(request.path) + (f"?{query}" if query else "")
    if len(path) <= _LONGEST_PATH:
        session[AFTER_SIGN_IN] = path


async def only_sysadmins() -> Response | None:
    """Run before every request for an admin's page.  Redirects users who are not signed in, or who must accept the terms
    of use, to the sign-in.  Raises Refused for users who are not sysadmins, which is looked up at each request.
    """
    found = await person()
    if found is None or terms_are_due():
        return await sign_in_first()
    if not found.user.sysadmin:
        raise Refused("Unauthorized access", 401, for_people=ADMINS_ONLY, page_status=403)
    return None


def _is_old_script() -> bool:
    """True if a program, not a browser, accepts the terms of use.  Such a POST needs no form token, because old scripts
    send it.
    """
    return request.endpoint == "pages.accept_terms" and not is_browser()
