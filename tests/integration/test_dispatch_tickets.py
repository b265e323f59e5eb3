# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""A ticket's way through a dispatcher to its result, and what its user reads."""

import time
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from dss_broker import label_colours
from dss_broker.broker import Delivery
from dss_broker.memory import MemoryBroker
from dss_broker.messages import (
    ClaimLogged,
    ClaimProgressed,
    ClaimSucceeded,
    InferenceFinished,
    Landmark,
    Message,
    ReportFile,
    RunInference,
)
from dss_datastore import layout
from dss_dispatch.consumer import NOT_SUBSCRIBED
from dss_dispatch.service import service_from
from dss_workspace.registry import parse
from support.builders import (
    MAIN,
    WorkspaceSpec,
    image,
    segmentation,
    service_json,
    submit,
    write_image,
)
from support.dispatched import InHand, work
from support.dispatchers import (
    WAIT_S,
    FakePortal,
    FakeWorker,
    dispatcher,
    finished,
    ready,
    writes,
)


@dataclass(frozen=True, kw_only=True)
class Quick(InHand):
    """A delivery whose inference, as its reply says, took 0.1 s."""

    delivery: Delivery

    def reply(self, message: Message) -> "Future[None]":
        if isinstance(message, InferenceFinished):
            message = replace(message, stage_seconds={"lungs": 0.1})
        return self.delivery.reply(message)


def test_a_ticket_ends_in_checked_files_that_the_portal_can_publish(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    """The ancestors' fault 7: the main image is among the results."""
    portal = FakePortal(broker)
    FakeWorker(broker, writes(tmp_path))
    submit(tmp_path)
    dispatcher(broker, tmp_path).start(parallel=1)

    broker.publish(ready())

    files = portal.succeeded().files
    staged = tmp_path / layout.staging_dir(42, "claim1")
    assert MAIN.file_name in {file.name for file in files}
    assert {file.name: file.size_bytes for file in files} == {
        path.name: path.stat().st_size for path in staged.iterdir()
    }
    assert broker.stop_consuming(10)
    # The portal removes them with the claim; until then another dispatcher may need them.
    assert sorted(path.name for path in work(tmp_path).iterdir()) == ["inference", "results"]


def test_the_input_is_read_from_the_folder_that_the_grant_names(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    """As after a file of the ticket was replaced."""
    folder = layout.input_dir(42, "newest")
    portal = FakePortal(broker, input_dir=str(folder))
    worker = FakeWorker(broker, writes(tmp_path))
    earlier = submit(tmp_path)
    (tmp_path / folder).parent.mkdir()
    earlier.rename(tmp_path / folder)
    dispatcher(broker, tmp_path).start(parallel=1)

    broker.publish(ready())

    assert MAIN.file_name in {file.name for file in portal.succeeded().files}
    assert [request.image_path for request in worker.requests] == [str(folder / MAIN.file_name)]


def test_the_end_tells_the_device_and_the_time_without_waiting_for_a_worker(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    """The worker answers after 0.5 s and says that it worked for 0.1 s of them."""
    portal = FakePortal(broker)
    write = writes(tmp_path)

    def is_late(delivery: Delivery, request: RunInference) -> None:
        time.sleep(0.5)
        write(Quick(message=request, delivery=delivery), request)

    FakeWorker(broker, is_late)
    submit(tmp_path)
    began_s = time.monotonic()
    dispatcher(broker, tmp_path).start(parallel=1)

    broker.publish(ready())

    ended = portal.succeeded()
    passed_s = time.monotonic() - began_s
    assert ended.device == "cpu"
    assert 0.1 <= ended.work_s < passed_s - 0.35


def test_what_the_sender_says_about_its_image_is_in_the_log(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    portal = FakePortal(broker)
    FakeWorker(broker, writes(tmp_path))
    note = '<folder key="Element[0]" ><entry key="Level" value="warning" /><entry key="Text" value="Tilted." /></folder>'
    extra = f'<folder key="DSS" ><folder key="Notes" >{note}</folder></folder>'
    submit(tmp_path, spec=WorkspaceSpec(extra=extra))
    dispatcher(broker, tmp_path).start(parallel=1)

    broker.publish(ready())
    portal.succeeded()

    lines = [m for m in portal.events if isinstance(m, ClaimLogged)]
    assert ("warning", "From the sender: Tilted.") in [(line.level, line.text) for line in lines]


def test_what_was_found_is_left_for_the_portal_and_marked_in_the_workspace(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    portal = FakePortal(broker)
    x, y, z = image().TransformIndexToPhysicalPoint((4, 5, 6))

    def finds(delivery: Delivery, request: RunInference) -> None:
        path = f"{request.output_dir}/segmentation.nii.gz"
        write_image(tmp_path / path, segmentation())
        (tmp_path / request.output_dir / "findings.csv").write_text("number\n", encoding="utf-8")
        answer = replace(
            finished(request, path),
            landmarks=(Landmark(text="nodule", position_mm=(x, y, z), rgb=(255, 0, 0)),),
            reports=(
                ReportFile(
                    path=f"{request.output_dir}/findings.csv", description="F", mime_type="text/csv"
                ),
            ),
        )
        delivery.reply(answer)

    FakeWorker(broker, finds)
    submit(tmp_path)
    dispatcher(broker, tmp_path).start(parallel=1)

    broker.publish(ready())

    portal.succeeded()
    (line,) = [event for event in portal.of(ClaimLogged) if event.attachments]
    attached = tmp_path / layout.attached_dir(42, "claim1") / line.attachments[0].name
    assert attached.read_text(encoding="utf-8") == "number\n"
    (workspace,) = (tmp_path / layout.staging_dir(42, "claim1")).glob("*.itksnap")
    landmark = "Annotations.Annotations.Element[0].Pos"
    position = [float(n) for n in parse(workspace.read_bytes()).get(landmark).split()]
    assert position == pytest.approx([4.5, 5.5, 6.5], abs=1e-3)


def test_a_picture_has_a_line_of_its_own_and_is_drawn_in_the_colours_of_the_service(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    portal = FakePortal(broker)
    asked: list[RunInference] = []

    def draws(delivery: Delivery, request: RunInference) -> None:
        asked.append(request)
        path = f"{request.output_dir}/segmentation.nii.gz"
        write_image(tmp_path / path, segmentation())
        reports = []
        for name, mime_type in (("found.csv", "text/csv"), ("picture.png", "image/png")):
            (tmp_path / request.output_dir / name).write_bytes(b"x")
            place = f"{request.output_dir}/{name}"
            reports.append(ReportFile(path=place, description=name, mime_type=mime_type))
        delivery.reply(replace(finished(request, path), reports=tuple(reports)))

    FakeWorker(broker, draws)
    submit(tmp_path)
    raw = service_json()
    raw["dispatch"]["labels"] = [{"value": 1, "name": "lung", "rgb": [1, 2, 3]}]
    dispatcher(broker, tmp_path, service=service_from(raw)).start(parallel=1)

    broker.publish(ready())

    portal.succeeded()
    lines = [event for event in portal.of(ClaimLogged) if event.attachments]
    assert [[file.name for file in line.attachments] for line in lines] == [
        ["picture.png"],
        ["found.csv"],
    ]
    assert label_colours.from_text(asked[0].parameters[label_colours.PARAMETER]) == {1: (1, 2, 3)}


def test_a_segmentation_in_nrrd_keeps_its_format(broker: MemoryBroker, tmp_path: Path) -> None:
    """A worker writes NRRD where NIfTI would move the grid."""
    portal = FakePortal(broker)
    FakeWorker(broker, replace(writes(tmp_path), name="segmentation.nrrd"))
    submit(tmp_path)
    dispatcher(broker, tmp_path).start(parallel=1)

    broker.publish(ready())

    names = [file.name for file in portal.succeeded().files]
    assert len([name for name in names if name.startswith("seg_") and name.endswith(".nrrd")]) == 1


def test_the_worker_is_asked_for_the_tagged_layer_by_its_path(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    portal = FakePortal(broker)
    worker = FakeWorker(broker, writes(tmp_path))
    submit(tmp_path)
    dispatcher(broker, tmp_path).start(parallel=1)

    broker.publish(ready())

    portal.succeeded()
    assert worker.requests == [
        RunInference(
            ticket_id=42,
            claim_id="claim1",
            bundle="lung-segmentation",
            image_path=f"tickets/00000042/input/{MAIN.file_name}",
            output_dir="tickets/00000042/work/claim1/inference",
            parameters={},
            silence_s=WAIT_S,
        )
    ]


def test_the_user_reads_each_stage_the_volumes_and_what_the_algorithm_says(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    portal = FakePortal(broker)
    FakeWorker(broker, writes(tmp_path))
    submit(tmp_path)
    dispatcher(broker, tmp_path).start(parallel=1)

    broker.publish(ready())

    portal.succeeded()
    assert [(event.level, event.text) for event in portal.of(ClaimLogged)] == [
        ("info", "Reading the workspace."),
        ("info", "The layer tagged 'CT' has 12 x 10 x 8 voxels."),
        ("info", "Asking for inference with 'lung-segmentation'."),
        ("info", "Inference: reading the image."),
        ("info", "Inference: finding the lungs."),
        ("warning", "The lungs are cut off at the top."),
        ("info", "left lung: 2345 ml"),
        ("info", "right lung: 2501 ml"),
        ("info", "Inference took 2.0 s on cpu."),
        ("info", "Building the result workspace."),
        ("info", "Checking the result."),
    ]


def test_the_progress_grows_to_the_end_and_the_end_is_told_last(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    portal = FakePortal(broker)
    FakeWorker(broker, writes(tmp_path))
    submit(tmp_path)
    dispatcher(broker, tmp_path).start(parallel=1)

    broker.publish(ready())

    portal.succeeded()
    told = [
        (event.chunk_start, event.chunk_end, event.progress) for event in portal.of(ClaimProgressed)
    ]
    assert told == [
        (0.0, 0.1, 1.0),
        (0.1, 0.9, 0.25),
        (0.1, 0.9, 0.75),
        (0.1, 0.9, 1.0),
        (0.9, 0.95, 1.0),
        (0.95, 1.0, 1.0),
    ]
    assert isinstance(portal.events[-1], ClaimSucceeded)


def test_a_dispatcher_is_not_ready_before_it_takes_tickets(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    consumer = dispatcher(broker, tmp_path)
    assert consumer.problems() == [NOT_SUBSCRIBED]

    consumer.start(parallel=1)

    assert NOT_SUBSCRIBED not in consumer.problems()
