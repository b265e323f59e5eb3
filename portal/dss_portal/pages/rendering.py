"""How pages and redirections are made."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

from jinja2.filters import do_striptags
from quart import Response, flash, render_template, request

from dss_portal import parameters
from dss_portal.accounts.sessions import identity
from dss_portal.errors import Refused
from dss_portal.formats import duration
from dss_portal.pages import forms

_SECTIONS = {
    "pages.own_tickets": "/tickets",
    "pages.admin.dead_letters": "/admin/dead-letters",
    "pages.admin.overview": "/admin",
    "pages.admin.providers": "/admin",
    "pages.admin.services": "/adminservices",
    "pages.admin.tickets": "/admintickets",
    "pages.admin.users": "/admin/users",
}
"""The link of the navigation that a page belongs to, for pages that have none of their own."""


async def page(template: str, status: int = 200, **context: object) -> Response:
    """``template`` filled in; every template knows the user, the form token and what was typed."""
    found = await identity()
    settings = parameters.settings()
    html = await render_template(
        template,
        user=found.user if found else None,
        form_token=forms.token_for(found) if found else "",
        sent=forms.fields_sent(),
        server=settings.public_url,
        prefix=settings.public_prefix,
        here=request.path,
        section=_SECTIONS.get(request.blueprint or "", request.path),
        **context,
    )
    return Response(html, status, content_type="text/html; charset=utf-8")


async def confirmation(
    question: str, consequence: str, verb: str, back: str, fields: Mapping[str, str] | None = None
) -> Response:
    """A page that asks before something is destroyed; it posts ``fields`` to the same address."""
    return await page(
        "confirmation.html",
        question=question,
        consequence=consequence,
        verb=verb,
        back=back,
        fields=fields or {},
    )


async def see_other(path: str, done: str = "") -> Response:
    """To ``path`` on the public origin, whatever host the request named; ``done`` is said there."""
    if done:
        await flash(done)
    address = parameters.settings().public_url.rstrip("/") + path
    return Response(status=303, headers={"Location": address})


async def problem_of(action: Awaitable[object]) -> str:
    """Do it; the sentence that says why it could not be done, or ""."""
    try:
        await action
    except Refused as error:
        return error.text
    except LookupError as error:
        return str(error.args[0])
    return ""


def utc(moment: datetime | None) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def web_address(text: object) -> str:
    """``text`` if a link may lead there, else "": no ``javascript:`` from a service's description."""
    address = text if isinstance(text, str) else ""
    return address if urlsplit(address).scheme in {"http", "https"} else ""


def plain_text(text: object) -> str:
    """Without HTML tags; line breaks stay."""
    return "\n".join(do_striptags(line) for line in str(text).splitlines())


FILTERS: dict[str, Callable[..., str]] = {
    "utc": utc,
    "duration": duration,
    "web_address": web_address,
    "plain_text": plain_text,
}
