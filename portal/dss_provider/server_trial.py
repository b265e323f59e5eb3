"""Runs ``dss service test --server``: sends a real ticket and processes it on this machine."""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dss_provider.folder import ServiceFolder
from dss_provider.serving import ServicePublisher


@dataclass(frozen=True, kw_only=True)
class SendArguments:
    """The arguments of the process ``dss send`` that sends the ticket.  ``images`` are files or DICOM folders by
    tag; ``series`` selects a series of the main one; ``time_point``, from 1, is the one to segment of a 4-D image.  Results are downloaded to ``output``, or to the default folder if it
    is None.
    """

    service: ServiceFolder
    server: str
    token: str
    images: Mapping[str, Path]
    output: Path | None
    series: str = ""
    time_point: int | None = None

    @property
    def words(self) -> list[str]:
        main = self.service.dispatch.tag
        others = [f"--tag={tag}={path}" for tag, path in self.images.items() if tag != main]
        output = [f"--output={self.output}"] if self.output else []
        series = [f"--series={self.series}"] if self.series else []
        chosen = [f"--time-point={self.time_point}"] if self.time_point else []
        send = [sys.executable, "-m", "dss_client", "send", str(self.images[main])]
        return [
            *send,
            "--service",
            self.service.descriptor.name,
            *others,
            *series,
            *chosen,
            *output,
        ]


def run_server_trial(sent: SendArguments, publisher: ServicePublisher, instance: str) -> int:
    """Send a ticket with ``dss send``, process tickets with ``publisher`` until that ticket has ended, and return the
    exit status of ``dss send``.
    """
    serving = threading.Thread(target=publisher.run, args=(1, instance))
    serving.start()
    try:
        environment = {**os.environ, "DSS_SERVER": sent.server, "DSS_TOKEN": sent.token}
        return subprocess.run(sent.words, env=environment, check=False).returncode
    finally:
        publisher.stop()
        serving.join()
