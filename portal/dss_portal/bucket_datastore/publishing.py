"""Brings results, and input files of which one was replaced, into folders of the bucket in which they do not change."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import PurePosixPath
from uuid import uuid4

from dss_datastore import layout
from dss_portal.bucket_datastore.access import BucketAccess
from dss_portal.datastore.names import flat
from dss_portal.shielding import run_shielded


class BucketPublishing(BucketAccess):
    """Makes folders of results or input files.  The S3 server copies the files."""

    async def publish_results(
        self,
        ticket_id: int,
        claim_id: str,
        names_and_sizes: Iterable[tuple[str, int]],
        staged_dir: str = "",
    ) -> str:
        """As in Datastore.  The server copies the files."""
        own = layout.staging_dir(ticket_id, claim_id)
        staged = PurePosixPath(staged_dir) if staged_dir else own
        if not staged.is_relative_to(own) or ".." in staged.parts:
            raise FileNotFoundError("The results are not in the folder of their claim")
        return await self._gathered(
            ticket_id, {staged / flat(name): size for name, size in names_and_sizes}
        )

    async def _gathered(self, ticket_id: int, sizes: Mapping[PurePosixPath, int]) -> str:
        folder = uuid4().hex
        target = layout.attempt_dir(ticket_id, folder)
        await run_shielded(self._on_bucket(self._gather, target, sizes))
        return folder

    def _gather(self, target: PurePosixPath, sizes: Mapping[PurePosixPath, int]) -> None:
        try:
            for path, size_bytes in sizes.items():
                copied = self._bucket.copy(str(path), str(target / path.name))
                if copied.size_bytes != size_bytes:
                    raise FileNotFoundError(f"{path.name} has not the {size_bytes} bytes announced")
        except BaseException:
            with suppress(OSError):  # ``remove_leftovers`` removes them later
                self._bucket.remove_below(f"{target}/")
            raise

    async def retire_inputs(
        self,
        ticket_id: int,
        place: str,  # noqa: ARG002 - programs of release 0.1.0 use no bucket
        old_places: Iterable[str],
    ) -> None:
        await self.remove_files(ticket_id, "input", old_places)

    async def show_earlier_portals(self, ticket_id: int, places: Iterable[str]) -> None:
        """Do nothing: portals of release 0.1.0 use no bucket."""
