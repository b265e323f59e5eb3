# mypy: allow-untyped-calls
"""A reader of browsers' uploads, in memory."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from dss_broker.broker import Delivery
from dss_broker.memory.broker import MemoryBroker
from dss_broker.memory.server import MemoryServer
from dss_broker.messages import (
    Message,
    NeededTag,
    ReadUpload,
    UploadedImage,
    UploadRead,
    UploadRefused,
)
from dss_broker.topology import PORTAL_EVENTS, UPLOADS
from dss_dispatch.uploads.handling import READ_LIMITS, ReadLimits, UploadReader
from support.waiting import wait_until

TAGS = (NeededTag(name="CT", type="MainImage", required=True),)


class UploadSite:
    """A portal and a program that reads uploads, with a datastore."""

    def __init__(self, root: Path, limits: ReadLimits = READ_LIMITS) -> None:
        self.root = root
        self.upload = root / "tickets" / "00000007" / "input"
        self.upload.mkdir(parents=True)
        server = MemoryServer()
        self.portal, self.broker = MemoryBroker(server), MemoryBroker(server)
        self.told: list[Message] = []
        self.stopping = threading.Event()
        self.portal.consume(PORTAL_EVENTS, self._hear)
        self.reader = UploadReader(self.broker, root, limits, "reader-1", self.stopping)
        self.broker.consume(UPLOADS, self.reader.handle)

    def _hear(self, delivery: Delivery) -> None:
        self.told.append(delivery.message)

    def close(self) -> None:
        self.stopping.set()
        self.portal.close()
        self.broker.close()

    def request(self, *images: UploadedImage, **changes: Any) -> ReadUpload:
        made = ReadUpload(
            ticket_id=7,
            intake_id="one",
            upload_dir="tickets/00000007/input",
            images=images,
            tags=TAGS,
        )
        return replace(made, **changes)

    def answer(self, *names: str, **changes: Any) -> UploadRead | UploadRefused:
        """What is told of a request for these files, the first of them the main image."""
        images = [UploadedImage(name=name) for name in names]
        return self.answer_to(self.request(*images, **changes))

    def answer_to(self, request: ReadUpload) -> UploadRead | UploadRefused:
        before = len(self.told)
        self.portal.publish(request).result(60)
        wait_until(lambda: len(self.told) > before, 120)
        told = self.told[-1]
        assert isinstance(told, UploadRead | UploadRefused)
        return told

    def folder(self, told: UploadRead | UploadRefused, number: int = 0) -> Path:
        assert isinstance(told, UploadRead), told
        return self.root / told.images[number].folder
