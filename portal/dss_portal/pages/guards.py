"""Access checks before each request for a page."""

from quart import Response, request

from dss_portal.accounts.origins import is_browser
from dss_portal.accounts.sessions import Identity, identity, terms_are_due
from dss_portal.pages import addresses, forms
from dss_portal.pages.rendering import see_other
from dss_portal.refusals import Refused
from dss_portal.web.context import components

_WITHOUT_TOKEN = {
    "pages.sign_in",  # there is no session yet; requests of other sites are refused before
    "pages.sending.send",  # it reads a large file behind the token, and checks that itself
}


async def person() -> Identity | None:
    """The user who requests a page.  A Bearer token is for programs and gives no access to pages."""
    scheme = request.headers.get("Authorization", "").partition(" ")[0]
    return None if scheme.lower() == "bearer" else await identity()


async def only_our_forms() -> Response | None:
    """Run before every request: count it, and accept a POST only with the form token of one of our pages.

    Returns a redirect to the sign-in page if it is needed.  Raises Refused.
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
    return None if await person() and not terms_are_due() else await see_other(addresses.SIGN_IN)


async def only_sysadmins() -> Response | None:
    """Redirect users who are not signed in.  Raises Refused for others without sysadmin rights, which are looked up at
    each request.
    """
    found = await person()
    if found is None or terms_are_due():
        return await see_other(addresses.SIGN_IN)
    if not found.user.sysadmin:
        raise Refused("Unauthorized access", 401)
    return None


def _is_old_script() -> bool:
    """True if a script accepts the terms of use, which it may do without a form token."""
    return request.endpoint == "pages.accept_terms" and not is_browser()
