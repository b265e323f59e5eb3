"""Distinguishes requests from pages of this portal, from pages of other sites, and from programs.

Browsers name the site of the sending page in ``Sec-Fetch-Site``, but over plain HTTP only for localhost.  Otherwise
``Origin`` or ``Referer`` names it.  A page can withhold both for a GET request (``Referrer-Policy: no-referrer``); then
other headers, which every browser sends, show that the sender is a browser.
"""

from enum import Enum
from ipaddress import ip_address
from urllib.parse import urlsplit

from quart import request

from dss_portal.refusals import Refused
from dss_portal.web.context import components

DEFAULT_PORTS = {"http": 80, "https": 443}
SIGNS = ("Origin", "Referer", "Accept-Language", "Upgrade-Insecure-Requests")
"""Request headers.  Each browser sends at least one of them with each request; ITK-SNAP, curl, httpx and the Python
client send none.
"""

CALLBACK = "/api/oauth2cb"  # the issuer's site redirects here; ``state`` protects it


class RequestOrigin(Enum):
    OURS = "a page of ours, or the person at the browser"
    OTHER_SITE = "a page of another site"
    UNKNOWN = "the request does not say"


def refuse_other_sites() -> None:
    """Raises Refused if a page of another site made the request, or if a browser sent it to change something and does
    not name the page.

    A link on another site may lead to one of our pages, but not to the API, except to the issuer's CALLBACK.  In test
    mode, requests for a foreign host name are refused too.
    """
    _refuse_foreign_names()
    reads = request.method in {"GET", "HEAD"}
    if reads and request.path == CALLBACK:
        return
    match sender():
        case RequestOrigin.OTHER_SITE:
            if not (reads and _navigates()) or request.path.startswith("/api/"):
                raise Refused("Requests from other web sites are not accepted.", 403)
        case RequestOrigin.UNKNOWN:
            if not reads and is_browser():
                raise Refused("The browser does not say which page sent this request.", 403)
        case RequestOrigin.OURS:
            pass


def is_browser() -> bool:
    """True if the headers are those of a browser.  ``User-Agent`` does not decide: many programs send that of a
    browser.
    """
    if any(name.startswith("Sec-Fetch-") for name in request.headers.keys()):  # noqa: SIM118 - not a dict
        return True
    return any(name in request.headers for name in SIGNS) or _wants_a_page()


def sender() -> RequestOrigin:
    """Where this request comes from: a page of this portal (or an address that the user typed), a page of another
    origin, or unknown if its headers do not say.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return RequestOrigin.OURS if site in {"same-origin", "none"} else RequestOrigin.OTHER_SITE
    header = request.headers.get("Origin") or request.headers.get("Referer")
    if not header:
        return RequestOrigin.UNKNOWN
    return RequestOrigin.OURS if origin(header) in _our_origins() else RequestOrigin.OTHER_SITE


def origin(address: str) -> str:
    """Scheme, host and port of a web address, with the port always written; "" for any other text."""
    try:
        parts = urlsplit(address)
        port = parts.port or DEFAULT_PORTS[parts.scheme]
    except (ValueError, KeyError):
        return ""
    return f"{parts.scheme}://{parts.hostname}:{port}" if parts.hostname else ""


def _our_origins() -> set[str]:
    """The origins of this portal: that of its public address, and that to which this request was sent.

    If the public address is https, an http origin counts only for localhost, because a page that came over plain HTTP
    may have been altered on the way.
    """
    settings = components().settings
    host = request.headers.get("Host", "")
    plain = not settings.public_is_https or _is_loopback(_name_in(host))
    schemes = ("http", "https") if plain else ("https",)
    found = {origin(settings.public_url), *(origin(f"{scheme}://{host}") for scheme in schemes)}
    return found - {""}


def _navigates() -> bool:
    """True if the request is a navigation of a browser to a page."""
    mode = request.headers.get("Sec-Fetch-Mode")
    return _wants_a_page() if mode is None else mode == "navigate"


def _wants_a_page() -> bool:
    return "text/html" in request.headers.get("Accept", "")


def _refuse_foreign_names() -> None:
    """Raises Refused in test mode for a foreign host name.  Without a sign-in, an attacker's page could otherwise get
    access by DNS rebinding.
    """
    settings = components().settings
    if settings.test_mode == "off":
        return
    name = _name_in(request.headers.get("Host", ""))
    public = urlsplit(settings.public_url).hostname
    if not (_is_digits(name) or _is_loopback(name) or name == public):
        raise Refused(
            f"This server is in test mode and answers to localhost, to addresses in digits and to the "
            f"name in DSS_PUBLIC_URL, not to '{name}'.",
            403,
        )


def _name_in(host: str) -> str:
    """The host of a Host header, without the port and the brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(name: str) -> bool:
    if _is_digits(name):
        return ip_address(name).is_loopback
    return name == "localhost" or name.endswith(".localhost")


def _is_digits(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
