"""The paths of the pages, below the public prefix.  They are stable, because bookmarks and scripts use them."""

HOME = "/"
SIGN_IN = "/token"
SIGN_OUT = "/logout"
TERMS = "/acceptterms"
ABOUT = "/about"
SERVICES = "/services"
TICKETS = "/tickets"
SEND = "/send"
ACCOUNT = "/account"
MACHINES = "/device"

ADMIN = "/admin"
ADMIN_PROVIDERS = "/admin/providers"
ADMIN_SERVICES = "/adminservices"
ADMIN_TICKETS = "/admintickets"
ADMIN_USERS = "/admin/users"
ADMIN_TOKENS = "/admin/tokens"
DEAD_LETTERS = "/admin/dead-letters"


def ticket(number: int) -> str:
    """The path of a ticket's page for its user."""
    return f"{TICKETS}/{number}"


def ticket_for_admin(number: int) -> str:
    """The beginning of the paths of an admin's actions on a ticket; with ``/detail`` added, the path of the ticket's
    page.
    """
    return f"/admin/tickets/{number}"


def provider(number: int) -> str:
    return f"{ADMIN_PROVIDERS}/{number}"
