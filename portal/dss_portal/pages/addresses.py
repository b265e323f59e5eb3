"""The paths of the web pages, below the public prefix.  Do not change them: bookmarks and scripts use them."""

HOME = "/"
SIGN_IN = "/token"
SIGN_OUT = "/logout"
TERMS = "/acceptterms"
ABOUT = "/about"
SERVICES = "/services"
TICKETS = "/tickets"
SEND = "/send"
ACCOUNT = "/account"
DEVICE = "/device"

ADMIN = "/admin"
ADMIN_PROVIDERS = "/admin/providers"
ADMIN_SERVICES = "/adminservices"
ADMIN_TICKETS = "/admintickets"
ADMIN_USERS = "/admin/users"
ADMIN_TOKENS = "/admin/tokens"
DEAD_LETTERS = "/admin/dead-letters"


def ticket(number: int) -> str:
    """The path of the page on which users see their own ticket."""
    return f"{TICKETS}/{number}"


def ticket_for_admin(number: int) -> str:
    """The path under which an admin finds a ticket: ``/detail`` added to it is the page of the ticket, and other words
    are the actions on it.
    """
    return f"/admin/tickets/{number}"


def provider(number: int) -> str:
    return f"{ADMIN_PROVIDERS}/{number}"
