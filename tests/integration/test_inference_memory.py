"""A worker's memory does not grow with the number of its tickets."""

import json
import os
import subprocess
import sys
from pathlib import Path

TICKETS = 50
WARM = 15
"""By then every buffer has had the size of the largest image."""

FREED_GOES_BACK = {"MALLOC_MMAP_THRESHOLD_": str(1024 * 1024)}
"""A threshold that is set stays, and freed blocks above it go back to the system (mallopt(3)).

Left alone, glibc's malloc raises it when a large block is freed, and keeps the next ones on its
heap: one step of 60 MB, with the first nodule ticket or a later one, that is no leak.
"""

SERVE = """
import json, sys
from pathlib import Path

from dss_broker.memory import MemoryBroker
from dss_broker.messages import InferenceFinished, InferenceProgressed, RunInference
from dss_inference.device.memory import ProcessMemory
from dss_phantom.chest import PhantomSpec, make_phantom
from dss_phantom.files import write_phantom
from dss_inference.bundle_catalogue import load
from dss_inference.device.runner import runner_for
from dss_inference.worker.server import QueueServer

folder, tickets = Path(sys.argv[1]), int(sys.argv[2])
sizes = [(44, 36, 40), (64, 52, 56), (52, 40, 44), (60, 48, 32), (48, 44, 52)]
for number, size in enumerate(sizes):
    spec = PhantomSpec(size=size, spacing_mm=(7.0, 7.0, 7.0), seed=number)
    write_phantom(make_phantom(spec, runner_for("cpu", 1)), folder / str(number))
box = {"crop_box": "0,0,6,29,47,17"}
bundles = [load(name, "cpu", 1) for name in ("lung-segmentation", "nodule-detection")]
broker = MemoryBroker()
server = QueueServer(
    broker=broker, bundles=bundles, datastore=folder, instance="node1", shared=False
)
server.start()
held = []
for ticket in range(tickets):
    talk = broker.request(
        RunInference(
            ticket_id=ticket,
            claim_id="c1",
            bundle=bundles[ticket % 5 == 4].name,
            image_path=f"{ticket * 2 % len(sizes)}/ct.nii.gz",
            output_dir=f"out/{ticket}",
            parameters=box if ticket % 5 == 4 else {},
        )
    )
    reply = talk.next(120)
    while isinstance(reply, InferenceProgressed):
        reply = talk.next(120)
    assert isinstance(reply, InferenceFinished), reply
    talk.close()
    held.append(ProcessMemory().held_bytes())
print(json.dumps(held))
"""


def test_memory_is_the_same_after_fifty_tickets(tmp_path: Path) -> None:
    """Images of five sizes in turn; a quarter of every fifth is searched for nodules, which takes 6 s for a whole one."""
    command = [sys.executable, "-W", "ignore", "-c", SERVE, str(tmp_path), str(TICKETS)]
    environment = os.environ | FREED_GOES_BACK
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]

    held = json.loads(done.stdout.splitlines()[-1])

    print([round(bytes_held / 1e6) for bytes_held in held])  # noqa: T201 - pytest shows it on failure
    assert len(held) == TICKETS
    assert max(held[-10:]) - max(held[WARM - 10 : WARM]) < 12e6
