"""Renders pages from templates, redirects, and the filters that templates use."""

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

from quart import Response, flash, render_template, request

from dss_portal.accounts.sessions import identity
from dss_portal.formats import duration
from dss_portal.pages import addresses, forms
from dss_portal.refusals import Refused
from dss_portal.web.context import components

_SECTIONS = {
    "pages.own_tickets": addresses.TICKETS,
    "pages.account": addresses.ACCOUNT,
    "pages.machines": addresses.SIGN_IN,
    "pages.admin.dead_letters": addresses.DEAD_LETTERS,
    "pages.admin.overview": addresses.ADMIN,
    "pages.admin.providers": addresses.ADMIN,
    "pages.admin.services": addresses.ADMIN_SERVICES,
    "pages.admin.tickets": addresses.ADMIN_TICKETS,
    "pages.admin.users": addresses.ADMIN_USERS,
}
"""By blueprint, the link that is highlighted in the navigation, for pages whose own path is not a link there."""


def content_policy(images: str = "'self'") -> str:
    """The Content-Security-Policy of a page: style sheets and scripts only from our origin, images only from the
    sources ``images``, and no site may show the page in a frame.
    """
    return (
        "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; "
        f"img-src {images}; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )


async def page(template: str, status: int = 200, **context: object) -> Response:
    """The response with the page ``template``.  The template gets ``context`` and, on every page, the user, the form
    token, and the fields of the submitted form.
    """
    found = await identity()
    settings = components().settings
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
    """A page that asks whether to carry out an action, with the button ``verb`` and a link to ``back``.  The button
    posts ``fields`` to the path of this request.
    """
    return await page(
        "confirmation.html",
        question=question,
        consequence=consequence,
        verb=verb,
        back=back,
        fields=fields or {},
    )


async def see_other(path: str, done: str = "") -> Response:
    """Redirect (303) to ``path`` on the public origin, not on the host that the request names.  ``done`` is a message
    that the next page shows.
    """
    if done:
        await flash(done)
    address = components().settings.public_url.rstrip("/") + path
    return Response(status=303, headers={"Location": address})


async def problem_of(action: Awaitable[object]) -> str:
    """Await ``action``, and return the sentence for the user if it raises Refused or LookupError; "" if it succeeds.
    Other errors are raised.
    """
    try:
        await action
    except Refused as error:
        return error.for_people
    except LookupError as error:
        return str(error.args[0])
    return ""


def utc(moment: datetime | None) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def web_address(text: object) -> str:
    """``text`` if it is a well-formed http or https address, otherwise "": the description of a service may contain a
    link with ``javascript:``.
    """
    address = text if isinstance(text, str) else ""
    try:
        scheme = urlsplit(address).scheme
    except ValueError:  # an IPv6 address without its end, for example
        return ""
    return address if scheme in {"http", "https"} else ""


def plain_text(text: object) -> str:
    """``text``, which may contain HTML, as text without tags.  Paragraphs, list items and line breaks become lines."""
    reader = _Plain()
    reader.feed(str(text))
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.pieces).split("\n"))
    return _GAPS.sub("\n\n", "\n".join(lines)).strip()


_GAPS = re.compile(r"\n{3,}")
_BREAKS = {"br": "\n", "li": "\n\u2022 ", "tr": "\n", "dt": "\n", "dd": "\n"}
_BLOCKS = frozenset(
    {"p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "blockquote", "pre"}
)
_UNSHOWN = frozenset({"script", "style"})


class _Plain(HTMLParser):
    """Collects the text of an HTML document in ``pieces``, without scripts and style sheets.  A ``<`` that begins no
    tag counts as text.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._hidden = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - the base class's
        self._hidden = self._hidden or tag in _UNSHOWN
        self.pieces.append("\n\n" if tag in _BLOCKS else _BREAKS.get(tag, ""))

    def handle_endtag(self, tag: str) -> None:
        self._hidden = self._hidden and tag not in _UNSHOWN
        self.pieces.append("\n\n" if tag in _BLOCKS else "")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.pieces.append(data)


def one_line(text: object) -> str:
    """``text``, which may contain HTML, as text without tags in a single line."""
    return " ".join(plain_text(text).split())


FILTERS: dict[str, Callable[[Any], str]] = {
    "utc": utc,
    "duration": duration,
    "web_address": web_address,
    "plain_text": plain_text,
    "one_line": one_line,
}
