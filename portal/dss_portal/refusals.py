"""Refusals of requests, independent of the web framework.  ``web.errors`` turns them into responses."""


class Refused(Exception):
    """The request cannot be served; ``text`` is shown to the user unchanged.

    If old clients compare ``text`` and ``status``, ``for_people`` and ``page_status`` replace them on pages.
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
    """The user is not signed in.  The text is the one that clients compare."""

    def __init__(self) -> None:
        super().__init__("You are not logged in!", 401)
