"""A worker whose only bundle, ``lung-segmentation``, copies the image: ``bench_tickets`` runs several of them.

Settings come from DSS_AMQP_URL, DSS_DATASTORE and DSS_INSTANCE.
"""

import os
import signal
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from dss_broker.rabbit import RabbitBroker
from dss_inference.worker.server import QueueServer
from support.copy_worker import CopyBundle


def serve() -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    bundle = CopyBundle(name="lung-segmentation")
    bundle.go_on.set()
    instance = os.environ["DSS_INSTANCE"]
    broker = RabbitBroker(os.environ["DSS_AMQP_URL"], "inference", instance)
    server = QueueServer(
        broker=broker,
        bundles=[bundle],
        datastore=Path(os.environ["DSS_DATASTORE"]),
        instance=instance,
    )
    server.start()
    stop.wait()
    server.stop(5)
    broker.close()


if __name__ == "__main__":
    serve()
