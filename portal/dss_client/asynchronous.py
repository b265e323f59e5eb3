"""The library's client for asyncio.  It performs the same flows as the blocking client."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from dss_client import flows, protocol
from dss_client.async_rest import AsyncRest
from dss_client.checksums import require_same, require_sound
from dss_client.client import POLL_S
from dss_client.flows import SelectedService, SubmissionListener, Watch
from dss_client.records import Detail, ServiceRow, Summary, TicketRow
from dss_client.shared_folders import require_no_others_files
from dss_client.unchanged_files import SilentWatcher, prepared


class AsyncClient:
    """A user's access to the portal at ``server`` for asyncio.  Several calls may run at the same time; their file
    transfers run one after the other.

    ``token`` is a token for programs, which is sent with each request.  Without it, call ``login`` with a one-time
    token; the session is stored in the file ``jar`` if one is given.  Errors of the server and of images are
    ClientErrors, whose texts are for people; errors of local files are OSErrors.

    If a ``send`` is cancelled, its ticket is deleted.  If it is cancelled while the ticket is being created, the
    unsubmitted ticket may remain until the server deletes it after an hour.
    """

    def __init__(self, server: str, *, token: str = "", jar: Path | None = None) -> None:
        self._rest = AsyncRest(server, jar, token)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._rest.close()

    async def login(self, token: str) -> str:
        """Sign in with a one-time token, which is used up, and return the user's e-mail address.  Raises SignInRefused
        if the token is not valid.
        """
        return await self._rest.run(protocol.login(token))

    async def account(self) -> str:
        """The e-mail address of the user whose session or token for programs is sent.  Raises SignInRefused if neither
        is valid.
        """
        return await self._rest.run(protocol.account())

    async def services(self) -> list[ServiceRow]:
        """The services, sorted by name and version."""
        return await self._rest.run(protocol.services())

    async def service(self, name: str) -> SelectedService:
        """The newest service with the name ``name``, or the service with the hash ``name``.  Raises ServiceUnfit if
        there is none.
        """
        return await self._rest.run(flows.selected_service(name))

    async def tickets(self) -> list[TicketRow]:
        """The user's own tickets, except deleted ones."""
        return await self._rest.run(protocol.tickets())

    async def summaries(self) -> list[Summary]:
        """The user's own tickets, except deleted ones, with names and times, which are "" if the server does not give
        them.
        """
        return await self._rest.run(protocol.summaries())

    async def ticket(self, number: int, since: int = 0) -> Detail:
        """State and progress of a ticket, and the log lines with ids above ``since``."""
        return await self._rest.run(protocol.detail(number, since))

    async def send(
        self,
        path: Path,
        service: str,
        *,
        tagged: Mapping[str, Path] | None = None,
        listener: SubmissionListener | None = None,
        title: str = "",
    ) -> int:
        """Send a NIfTI file or a workspace of NIfTI files unchanged, and return the ticket's number.

        ``service`` is a name or a hash; ``tagged`` are further images by tag; ``listener`` receives the progress;
        ``title`` is the ticket's name in its owner's list.  If sending fails, the ticket is deleted.  Raises
        ServiceUnfit if there is no such service or it needs other images, and ImageUnreadable for another kind of file.
        """
        found = await self.service(service)
        with tempfile.TemporaryDirectory(prefix="alfabis_") as name:
            folder = Path(name)
            write = await asyncio.to_thread(prepared, path, tagged or {}, found.detail, folder)
            listener = listener or SilentWatcher()
            steps = flows.submit(found.githash, folder, write, listener, title)
            return await self._rest.run(steps)

    async def watch(self, number: int, *, every_s: float = POLL_S) -> AsyncIterator[Detail]:
        """Yield the ticket's state every ``every_s`` seconds until it has ended, each time with the new log lines.  A
        few bad responses in a row are tolerated; a lost connection raises Unreachable at once.
        """
        watch = Watch(number, every_s)
        while (found := await self._rest.run(watch.poll())) is not None:
            yield found

    async def download(self, number: int, folder: Path) -> list[Path]:
        """Download all results into ``folder``, which is created, and return their paths.  Files of the same names are
        replaced; a file is either complete or missing.  Raises ClientError if the ticket has no results, and, before
        anything is written, if a file of another ticket's results would be replaced.

        The files are compared with the server's checksums, if it has them.  Raises NotUnderstood if one is damaged, and
        removes it.
        """
        sums = await self._rest.run(protocol.checksums(number))
        found = await self._rest.run(protocol.result_paths(number, folder))
        planned = [path for _, path in found]
        await asyncio.to_thread(require_no_others_files, number, planned, sums)
        paths = await self._rest.run(protocol.download_results(number, folder))
        await asyncio.to_thread(require_same, paths, sums)
        return paths

    async def download_archive(self, number: int, target: Path) -> None:
        """Download all results as one zip archive to the file ``target``.  Raises NotUnderstood if the archive is
        damaged, and removes it.
        """
        await self._rest.run(protocol.download_archive(number, target))
        await asyncio.to_thread(require_sound, target)

    async def retry(self, number: int) -> None:
        """Queue a failed or timed-out ticket again, with its files.  Raises Refused for a ticket in another state."""
        await self._rest.run(protocol.retry(number))

    async def delete(self, number: int) -> None:
        """Delete the ticket and all its files, even if a provider works on it."""
        await self._rest.run(protocol.delete(number))
