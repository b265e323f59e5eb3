"""``dss-inference serve`` as an operator runs it, for tests that ask it over a real RabbitMQ."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dss_broker.messages import Message, WorkerAnnounced
from support.waiting import wait_until

START_S = 60


@contextmanager
def worker(
    amqp_url: str,
    datastore: Path,
    heard: list[Message],
    *options: str,
    instance: str = "node1",
    stop_s: str = "5",
    bundle: str = "lung-segmentation",
) -> Iterator["subprocess.Popen[bytes]"]:
    """Running, and its ``bundle`` announced in ``heard``.  ``options`` are those of the command line."""
    (datastore / "tickets").mkdir(exist_ok=True)  # as the portal does
    environment = {
        **os.environ,
        "DSS_AMQP_URL": amqp_url,
        "DSS_DATASTORE": str(datastore),
        "DSS_INSTANCE": instance,
        "DSS_DEVICE": "cpu",
        "DSS_STOP_S": stop_s,
    }
    command = [sys.executable, "-m", "dss_inference", "serve", *options]
    started = subprocess.Popen(command, env=environment)
    here = WorkerAnnounced(bundle=bundle, instance=instance, device="cpu")
    try:
        wait_until(lambda: here in heard or started.poll() is not None, START_S)
        assert here in heard
        yield started
    finally:
        started.kill()
        started.wait()
