"""Sends many images through one or more services and waits for all their tickets.  It keeps as many tickets open as the
user's quota allows.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Protocol, TypeVar

from dss_client.batch_items import (
    NOT_DOWNLOADED,
    REFUSED,
    SUBMITTED,
    SUCCESS,
    WAITING,
    Item,
)
from dss_client.batch_journal import Journal
from dss_client.error_sentences import is_missing, of_disk
from dss_client.errors import ClientError, Refused, SignInRefused, Unreachable
from dss_client.flows import SelectedService, new_key
from dss_client.itksnap import ItkSnap
from dss_client.output import OutputLost
from dss_client.retries import BUSY, with_retries
from dss_client.send_options import SendOptions, title_of
from dss_client.sending import Stopwatch, Watcher, fetch, submit
from dss_submission.preparing import Source

POLL_S = 2.0
OTHERS_S = 15.0
"""Pause in seconds while only tickets of other programs fill the quota.  It is long because each attempt to submit
reads and converts the image.
"""
RETRY_S = 3600.0
"""Longest time in seconds without an answer of the portal before a batch gives up.  It is one time for all images."""
ALONE_S = RETRY_S + 300.0
"""Longest time in seconds for the attempts to send or to download one image, if the portal answers in between."""
CONTINUES = "The batch gives up; the same command continues it."
QUOTA = "Maximum allowed number of open tickets"
"""Beginning of the server's sentence about a full quota (dss-api: quotas)."""

T = TypeVar("T")


class PortalAway(ClientError):
    """The portal has given no answer for RETRY_S.  The images that were not sent yet keep the state WAITING."""


class Display(Protocol):
    """Shows the progress of a batch to the user."""

    def watcher(self, item: Item) -> Watcher:
        """The Watcher that shows the submission, the state and the download of one image."""

    def changed(self, item: Item) -> None:
        """Show that the item was submitted or has ended."""

    def note(self, sentence: str) -> None:
        """Show a sentence that concerns the batch, not a single image."""


def _sentence(error: ClientError | OSError) -> str:
    return of_disk(error) if isinstance(error, OSError) else str(error)


class Batch:
    """Sends items and waits until all their tickets have ended.  The client must be signed in.

    ``services`` maps the name in ``Item.service`` to the service.  ``folder`` gets the tables and, for each item, a
    folder with its results.
    """

    def __init__(
        self,
        client: ItkSnap,
        services: Mapping[str, SelectedService],
        folder: Path,
        display: Display,
        *,
        options: SendOptions | None = None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._client = client
        self._services = services
        self._options = options or SendOptions()
        self._folder = folder
        self._display = display
        self._pause = pause
        self._journal = Journal(
            folder, self._options.unsent, server=client.server, options=self._options.signature
        )
        self._new_keys: set[str] = set()
        self._recalled: set[str] = set()
        self._full = False
        self._said = ""
        self._looked_s = time.monotonic()
        self._away_since_s: float | None = None

    def run(self, items: Sequence[Item]) -> None:
        """Send the items, and return when all have ended, or, without ``wait``, when all are submitted.  Continues an
        earlier run in the same folder.  An error in sending or downloading one image becomes the state of its item.

        Raises ClientError if the folder's table is another batch's, if the session is no longer valid when an image is
        submitted or a state requested; PortalAway if the portal gives no answer for RETRY_S.
        """
        for item in self._journal.recall(items):
            self._tell(f"{item.name} has changed since it was sent; it is sent again.")
        self._journal.write(items)
        if done := sum(item.status == SUCCESS for item in items):
            self._tell(
                f"{done} of {len(items)} succeeded in an earlier run and are not sent again."
            )
        while not all(self._is_over(item) for item in items):
            self._submit_next(items)
            if not self._options.wait and not self._full:
                continue
            self._look_at_all(items)
            has_open = any(item.status == SUBMITTED for item in items)
            if self._full and not has_open:
                self._pause(OTHERS_S)
            elif self._full or not any(item.status == WAITING for item in items):
                self._pause(POLL_S)
            if not has_open:
                self._full = False  # other programs' tickets fill the quota, so try again

    def _look_at_all(self, items: Sequence[Item]) -> None:
        """Request the state of every open ticket and download the results of those that succeeded.  While items are
        still to be submitted, this happens at most every POLL_S seconds.
        """
        is_idle = self._full or not any(item.status == WAITING for item in items)
        now_s = time.monotonic()
        if not is_idle and now_s - self._looked_s < POLL_S:
            return
        self._looked_s = now_s
        for item in [item for item in items if item.status == SUBMITTED]:
            self._look(item, items)

    def _is_over(self, item: Item) -> bool:
        return item.ended or (item.status == SUBMITTED and not self._options.wait)

    def _submit_next(self, items: Sequence[Item]) -> None:
        item = next((item for item in items if item.status == WAITING), None)
        if item is None or self._full:
            return
        try:
            item.ticket = self._with_retries(lambda: self._submitted(item, items))
            self._change(item, items, SUBMITTED)
        except (SignInRefused, OutputLost, PortalAway):
            raise
        except Refused as error:
            self._refused(error, item, items)
        except (ClientError, OSError) as error:
            self._change(item, items, REFUSED, _sentence(error))

    def _submitted(self, item: Item, items: Sequence[Item]) -> int:
        if item.ticket and self._is_submitted(item):
            return item.ticket
        item.ticket = 0
        source = Source(
            path=item.source,
            series=item.uid or item.series,
            tagged=self._options.tagged,
            region=self._options.region,
        )
        watcher = self._display.watcher(item)
        service = self._services[item.service]

        def note(number: int) -> None:
            self._away_since_s = None
            if item.key not in self._new_keys:
                self._recalled.add(item.name)
            item.ticket, item.key = number, ""
            self._journal.write(items)

        if not item.key:
            item.key = new_key()
            self._new_keys.add(item.key)
            self._journal.write(items)  # a later run must know it if this one ends meanwhile
        title = title_of(self._options.name, item.title)
        return submit(
            *(self._client, source, service, watcher, Stopwatch()),
            note=note,
            title=title,
            key=item.key,
        )

    def _is_submitted(self, item: Item) -> bool:
        """True if an earlier attempt, whose outcome is not known, has submitted the item's ticket.  A ticket that was
        only created is deleted.
        """
        try:
            detail = self._client.detail(item.ticket)
        except Refused as error:
            if not is_missing(error):
                raise
            return False
        if detail.status == "init":
            self._client.delete(item.ticket)
        return detail.status not in {"init", "deleted"}

    def _refused(self, error: Refused, item: Item, items: Sequence[Item]) -> None:
        if error.status == HTTPStatus.UNAUTHORIZED:
            raise error  # all other items would fail with the same error
        is_earlier_key = item.key and item.key not in self._new_keys
        if error.status == HTTPStatus.UNPROCESSABLE_ENTITY and is_earlier_key:
            item.key = ""  # an earlier run requested a ticket of another version of the service
            return
        if is_missing(error) and item.name in self._recalled:
            self._recalled.discard(item.name)  # an earlier run has deleted the ticket of its key
            return
        others = [other for other in items if other.status == SUBMITTED]
        if error.body.startswith(QUOTA):
            self._full = True
            what = "tickets of this batch" if others else "other tickets of yours"
            self._tell(
                f"The site allows you no more open tickets; the other images wait until {what} end."
            )
        else:
            self._change(item, items, REFUSED, error.body.strip())

    def _look(self, item: Item, items: Sequence[Item]) -> None:
        try:
            detail = self._with_retries(lambda: self._client.detail(item.ticket))
        except (SignInRefused, OutputLost, PortalAway):
            raise
        except Refused as error:
            if not is_missing(error):
                raise  # the ticket continues; the same command finds it later
            self._change(item, items, "deleted", error.body.strip())
            return
        self._display.watcher(item).polled(detail)
        if not detail.finished:
            return
        if detail.status == SUCCESS:
            self._download(item, items)
            return
        errors = [line.message for line in detail.log if line.category == "error"]
        self._change(item, items, detail.status, errors[-1] if errors else "")

    def _download(self, item: Item, items: Sequence[Item]) -> None:
        watcher = self._display.watcher(item)
        target = self._folder / item.name
        try:
            results = self._with_retries(lambda: fetch(self._client, item.ticket, target, watcher))
            item.labels = results.labels
            item.segmentations = " ; ".join(map(self._in_folder, results.segmentations))
            item.workspace = self._in_folder(results.workspace)
            self._journal.write_volumes(
                items
            )  # before the row is written, because a row with success is not fetched again
            self._change(item, items, SUCCESS)
        except (OutputLost, PortalAway):
            raise
        except (ClientError, OSError) as error:
            self._change(item, items, NOT_DOWNLOADED, _sentence(error))

    def _in_folder(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()

    def _change(self, item: Item, items: Sequence[Item], status: str, reason: str = "") -> None:
        if status != SUBMITTED:
            self._full = False
        item.status, item.reason = status, " ".join(reason.split())
        item.key = ""
        self._journal.write(items)
        self._display.changed(item)

    def _tell(self, sentence: str) -> None:
        """Show the sentence, unless it equals the last one that was shown by this method."""
        if sentence != self._said:
            self._said = sentence
            self._display.note(sentence)

    def _with_retries(self, call: Callable[[], T]) -> T:
        return with_retries(lambda: self._heard(call), ALONE_S, self._pause, self._say_away)

    def _heard(self, call: Callable[[], T]) -> T:
        """Call ``call`` once, and note whether the portal answers.  Raises PortalAway instead of a temporary error if it
        has given no answer for RETRY_S, whatever was asked.
        """
        try:
            result = call()
        except (Unreachable, Refused) as error:
            if isinstance(error, Refused) and error.status not in BUSY:
                self._away_since_s = None
                raise
            now_s = time.monotonic()
            if self._away_since_s is None:
                self._away_since_s = now_s
            if now_s - self._away_since_s > RETRY_S:
                raise PortalAway(f"{error} {CONTINUES}") from error
            raise
        self._away_since_s = None
        return result

    def _say_away(self) -> None:
        self._display.note("The portal does not answer; trying again.")
