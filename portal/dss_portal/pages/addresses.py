"""The paths of the pages, below the public prefix.  Old bookmarks and scripts know them."""

HOME = "/"
SIGN_IN = "/token"
SIGN_OUT = "/logout"
TERMS = "/acceptterms"
ABOUT = "/about"
SERVICES = "/services"
TICKETS = "/tickets"
ACCOUNT = "/account"

ADMIN = "/admin"
ADMIN_PROVIDERS = "/admin/providers"
ADMIN_SERVICES = "/adminservices"
ADMIN_TICKETS = "/admintickets"
ADMIN_USERS = "/admin/users"
ADMIN_TOKENS = "/admin/tokens"
DEAD_LETTERS = "/admin/dead-letters"


def ticket(number: int) -> str:
    """For the ticket's user."""
    return f"{TICKETS}/{number}"


def ticket_for_admin(number: int) -> str:
    """What an admin does with it is below; the ticket itself is at ``/detail`` there."""
    return f"/admin/tickets/{number}"


def provider(number: int) -> str:
    return f"{ADMIN_PROVIDERS}/{number}"
