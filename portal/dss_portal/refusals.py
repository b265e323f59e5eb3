"""Refusals of requests, independent of the web framework.  ``web.errors`` turns them into responses."""


class Refused(Exception):
    """The request cannot be served.  ``status`` is the HTTP status; ``text`` is a sentence that is shown to the user
    unchanged.

    Pages show ``for_people`` and ``page_status`` instead, which differ where old clients compare ``text`` and
    ``status``.
    """

    def __init__(
        self, text: str, status: int = 400, *, for_people: str = "", page_status: int = 0
    ) -> None:
        super().__init__(text)
        self.text = text
        self.status = status
        self.for_people = for_people or text
        self.page_status = page_status or status


class NotSignedIn(Refused):
    """The user is not signed in.  Old clients compare the text with theirs, so it must not change."""

    def __init__(self) -> None:
        super().__init__("You are not logged in!", 401)
