"""Answers the portals' requests to read images that a browser has uploaded."""

import logging
import shutil
import subprocess
import sys
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from dss_broker.broker import Broker, Delivery
from dss_broker.errors import BrokerClosed, MessageRefused, ReturnToQueue, TryAgainLater, Unroutable
from dss_broker.messages import (
    ReaderAnnounced,
    ReadFile,
    ReadImage,
    ReadUpload,
    UploadRead,
    UploadRefused,
)
from dss_broker.topology import UPLOADS, word
from dss_datastore import layout
from dss_datastore.access import Access, SharedDatastore, wait_until_there
from dss_datastore.folder import shared
from dss_datastore.space import is_disk_full
from dss_datastore.volume import is_away
from dss_datastore.writing import write
from dss_dispatch.uploads.child_protocol import NO_MEMORY, NO_ROOM, Answer, ReadOrder

log = logging.getLogger(__name__)

POLL_S = 0.1
CONFIRM_S = 30.0
OUTCOME = "outcome.json"
"""Name of the file with the answer.  It is written last, so that a repeated request gets the same answer."""
TOO_LONG = "Reading the image took longer than {:g} seconds, so it was given up; send it with the program dss."
UNEXPECTED = "The image could not be read, because of an unexpected error. Please tell the operator the ticket's number."
FILES_GONE = "The files of the upload have gone; send them again."
_KILLED = -9


@dataclass(frozen=True, kw_only=True)
class ReadLimits:
    """Limits for reading one upload, in seconds and in bytes of memory."""

    time_s: float
    memory_bytes: int


READ_LIMITS = ReadLimits(time_s=900, memory_bytes=3 * 2**30)


class UploadReader:
    """Reads uploads, one at a time in this process, when a portal requests it."""

    def __init__(
        self,
        broker: Broker,
        datastore: Path | SharedDatastore,
        limits: ReadLimits,
        instance: str,
        stopping: threading.Event,
    ) -> None:
        self._broker = broker
        self._datastore = shared(datastore)
        self._limits = limits
        self._instance = instance
        self._stopping = stopping

    def start(self) -> None:
        """Subscribe to requests, and announce that uploads are read."""
        self._broker.consume(UPLOADS, self.handle)
        self.announce()

    def announce(self, *, ends: bool = False) -> None:
        """Announce to the portals that this process reads uploads; with ``ends``, that it stops.  Does nothing if
        they cannot be reached.
        """
        if not self._broker.connected:
            return
        try:
            self._broker.publish(ReaderAnnounced(instance=self._instance, ends=ends)).result(1.0)
        except (Unroutable, MessageRefused, BrokerClosed, TimeoutError):
            return

    def handle(self, delivery: Delivery) -> None:
        """Handle a message of the subscription ``topology.UPLOADS``: read the upload and publish the answer.
        Idempotent: a repeated request gets the answer of the first one.

        Raises ReturnToQueue if the program stops first, and TryAgainLater if the datastore is away or full, or if no
        portal takes the answer.
        """
        request = delivery.message
        if not isinstance(request, ReadUpload):
            raise TypeError(f"{type(request).__name__} is no request to read an upload")
        if not wait_until_there(self._datastore, self._stopping):
            raise ReturnToQueue
        facts = {"ticket": request.ticket_id, "intake": request.intake_id}
        try:
            with self._datastore.access() as files:
                answer = self._answer(request, files)
        except OSError as error:
            if is_disk_full(error):
                raise TryAgainLater("the disk is full") from error
            if is_away(error):
                raise TryAgainLater("the datastore is away") from error
            raise
        log.info("upload read", extra={**facts, "accepted": isinstance(answer, UploadRead)})
        self._publish(answer)

    def _answer(self, request: ReadUpload, files: Access) -> UploadRead | UploadRefused:
        """The answer to a request: the stored answer, or a new one.  If the upload no longer exists, the answer is a
        refusal, which the portal ignores unless it still waits.  Raises TryAgainLater if the datastore is away.
        """
        folder = layout.read_dir(request.ticket_id, request.intake_id)
        files.fetch(folder, only=OUTCOME)
        stored = files.root / folder / OUTCOME
        if stored.is_file() and (
            found := msgspec.json.decode(stored.read_bytes(), type=_StoredAnswer).message
        ):
            return found
        upload = PurePosixPath(request.upload_dir)
        for image in request.images:
            files.fetch(upload / image.name)
        if not all((files.root / upload / image.name).is_file() for image in request.images):
            if self._datastore.problem():
                raise TryAgainLater("the datastore is away")
            return UploadRefused(
                ticket_id=request.ticket_id, intake_id=request.intake_id, reason=FILES_GONE
            )
        return self._read_upload(request, files, folder)

    def _read_upload(
        self, request: ReadUpload, files: Access, folder: PurePosixPath
    ) -> UploadRead | UploadRefused:
        """Read the upload and return the answer.  Another program may read the same upload at the same time, so each
        writes to a folder of its own.
        """
        part = folder / f"{word(self._instance)}-{uuid.uuid4().hex[:8]}"
        files.make(folder)
        own = files.root / part
        own.mkdir()
        answer = self._message(request, self._run(request, files.root, own), own, part)
        if isinstance(answer, UploadRefused):
            shutil.rmtree(own, ignore_errors=True)
        stored = (
            _StoredAnswer(read=answer)
            if isinstance(answer, UploadRead)
            else _StoredAnswer(refused=answer)
        )
        write(files.root / folder / OUTCOME, msgspec.json.encode(stored))
        files.put(folder, last=OUTCOME)
        return answer

    def _message(
        self, request: ReadUpload, found: Answer, own: Path, part: PurePosixPath
    ) -> UploadRead | UploadRefused:
        if not found.made:
            return UploadRefused(
                ticket_id=request.ticket_id,
                intake_id=request.intake_id,
                reason=found.reason,
                series=found.series,
            )
        images = tuple(
            ReadImage(
                folder=str(part / one.folder),
                files=_files(own / one.folder),
                series=one.series,
            )
            if one.folder
            else ReadImage(series=one.series, reason=one.reason)
            for one in found.made
        )
        return UploadRead(ticket_id=request.ticket_id, intake_id=request.intake_id, images=images)

    def _run(self, request: ReadUpload, root: Path, own: Path) -> Answer:
        """Read the upload in a separate process.  If that takes too long, needs too much memory or fails, the answer
        has the reason.  Raises ReturnToQueue if this program stops meanwhile.
        """
        order = ReadOrder(
            upload=str(root / request.upload_dir),
            target=str(own),
            images=request.images,
            tags=request.tags,
            ticket_id=request.ticket_id,
            series=request.series,
            memory_bytes=self._limits.memory_bytes,
        )
        command = [sys.executable, "-m", "dss_dispatch.uploads.reading"]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as child:
            try:
                out, errors = self._outputs(child, msgspec.json.encode(order))
            except subprocess.TimeoutExpired:
                return Answer(reason=TOO_LONG.format(self._limits.time_s))
            finally:
                child.kill()
        if child.returncode == 0:
            return msgspec.json.decode(out, type=Answer)
        output = errors.decode(errors="replace")
        if child.returncode == _KILLED or "MemoryError" in output or "bad_alloc" in output:
            return Answer(reason=NO_MEMORY)
        if "No space left on device" in output or "Disk quota exceeded" in output:
            return Answer(reason=NO_ROOM)
        facts = {"ticket": request.ticket_id, "status": child.returncode, "last": output[-2000:]}
        log.error("reading an upload broke off", extra=facts)
        return Answer(reason=UNEXPECTED)

    def _outputs(self, child: "subprocess.Popen[bytes]", order: bytes) -> tuple[bytes, bytes]:
        sent: bytes | None = order
        waited_s = 0.0
        while True:
            try:
                return child.communicate(sent, timeout=POLL_S)
            except subprocess.TimeoutExpired:
                sent, waited_s = None, waited_s + POLL_S
            if self._stopping.is_set():
                raise ReturnToQueue
            if waited_s > self._limits.time_s:
                raise subprocess.TimeoutExpired(child.args, self._limits.time_s)

    def _publish(self, answer: UploadRead | UploadRefused) -> None:
        try:
            self._broker.publish(answer).result(CONFIRM_S)
        except (Unroutable, TimeoutError) as error:
            raise TryAgainLater("no portal takes the answer") from error


@dataclass(frozen=True, kw_only=True)
class _StoredAnswer:
    """An answer in the form in which it is stored on disk."""

    read: UploadRead | None = None
    refused: UploadRefused | None = None

    @property
    def message(self) -> UploadRead | UploadRefused | None:
        return self.read or self.refused


def _files(folder: Path) -> tuple[ReadFile, ...]:
    return tuple(
        ReadFile(name=path.name, size_bytes=path.stat().st_size)
        for path in sorted(folder.iterdir())
    )
