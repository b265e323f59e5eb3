# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""A worker process that was sent every bad file there is still serves the next good one."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dss_broker.messages import (
    InferenceFailed,
    InferenceFinished,
    InferenceProgressed,
    Message,
    RunInference,
)
from dss_broker.rabbit import RabbitBroker
from dss_broker.topology import PORTAL_EVENTS
from dss_datastore.layout import work_dir
from dss_inference.device.runner import runner_for
from dss_inference.worker.request_handler import EXHAUSTED, UNEXPECTED
from dss_phantom.chest import PhantomSpec, make_phantom
from dss_phantom.files import write_phantom
from dss_stack.rabbitmq import RabbitNode
from support.bad_images import BAD
from support.brokers import fresh_vhost
from support.workers import START_S, worker

pytestmark = [pytest.mark.stack]

DEMO = "lung-segmentation-demo"
BUNDLES = ("lung-segmentation", "nodule-detection", DEMO)
"""Two that work by rules, and a MONAI bundle."""


@pytest.fixture
def amqp_url(rabbit: RabbitNode) -> Iterator[str]:
    with fresh_vhost(rabbit) as url:
        yield url


@pytest.fixture
def broker(amqp_url: str) -> Iterator[RabbitBroker]:
    opened = RabbitBroker(amqp_url, "test", f"test-{os.getpid()}")
    yield opened
    opened.stop_consuming(0)
    opened.close()


@pytest.fixture
def program(
    broker: RabbitBroker, amqp_url: str, tmp_path: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    heard: list[Message] = []
    broker.consume(PORTAL_EVENTS, lambda delivery: heard.append(delivery.message))
    options = [word for name in BUNDLES for word in ("--bundle", name)]
    with worker(amqp_url, tmp_path, heard, *options, bundle=DEMO) as started:
        yield started


def answers(broker: RabbitBroker, ticket_id: int, image: Path, datastore: Path) -> list[Message]:
    """That of each bundle, all asked at once."""
    talks = [
        broker.request(
            RunInference(
                ticket_id=ticket_id,
                claim_id=bundle,
                bundle=bundle,
                image_path=str(image.relative_to(datastore)),
                output_dir=str(work_dir(ticket_id, bundle)),
                parameters={},
            )
        )
        for bundle in BUNDLES
    ]
    heard: list[Message] = []
    for talk in talks:
        while isinstance(reply := talk.next(START_S), InferenceProgressed):
            pass
        talk.close()
        heard.append(reply)
    return heard


def is_told(reply: Message, image: Path) -> bool:
    """Is it a refusal in a sentence for a user, about the image and not about the service?"""
    if not isinstance(reply, InferenceFailed) or reply.reason in (UNEXPECTED, EXHAUSTED):
        return False
    words = reply.reason
    return words[0].isupper() and words.endswith(".") and str(image.parent) not in words


def test_a_worker_refuses_every_bad_file_in_a_sentence_and_serves_the_next_good_one(
    broker: RabbitBroker, program: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    for ticket_id, (wrong, make) in enumerate(BAD.items(), 1):
        folder = tmp_path / f"tickets/{ticket_id:08d}/input"
        folder.mkdir(parents=True)
        image = make(folder)
        for reply in answers(broker, ticket_id, image, tmp_path):
            assert is_told(reply, image), (wrong, reply)
    spec = PhantomSpec(size=(72, 56, 60), spacing_mm=(5.0, 5.0, 5.0))
    write_phantom(make_phantom(spec, runner_for("cpu", threads=1)), tmp_path / "good")

    served = answers(broker, len(BAD) + 1, tmp_path / "good/ct.nii.gz", tmp_path)

    assert all(isinstance(reply, InferenceFinished) for reply in served), served
    assert program.poll() is None
