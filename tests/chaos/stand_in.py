# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""``python -m chaos.stand_in``: an inference worker whose one bundle does what the image asks for.

Broker, server, files and cancellation are the real worker's; only the computation is a wait.
"""

import logging
import os
import time
from pathlib import Path

import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from chaos.cases import Case, Kind, order_of, segmented
from dss_broker.messages import Label
from dss_broker.rabbit import RabbitBroker
from dss_datastore.writing import sync
from dss_inference.bundle import BundleOutcome, Progress, Report, Stages
from dss_inference.errors import InferenceError, IsCancelled
from dss_inference.settings import Settings
from dss_inference.worker.server import QueueServer
from dss_observability.logs import configure_logging
from dss_process.signals import exit_immediately, stop_signal, wait_for_stop

log = logging.getLogger(__name__)

BUNDLE = "stand-in"
REFUSAL = "The image asks to be refused."
_POLL_S = 0.05
_LABELS = tuple(
    Label(value=value, name=f"digit {value}", rgb=(value, 10 * value, 200), volume_ml=1.0)
    for value in range(1, 18)
)


class StandIn:
    """A bundle without an algorithm."""

    name = BUNDLE
    device = "none"

    def run(
        self,
        image_path: Path,
        output_dir: Path,
        parameters: dict[str, str],
        progress: Progress,
        cancelled: IsCancelled,
    ) -> BundleOutcome:
        stages = Stages(progress, cancelled)
        stages.enter(0.0, "reading the image")
        image = sitk.ReadImage(str(image_path))
        voxels = sitk.GetArrayFromImage(image)
        order = order_of(voxels)
        if order.kind is Kind.REFUSED:
            raise InferenceError(REFUSAL)
        if order.kind is Kind.DEADLY:
            os._exit(1)
        log.info("working")
        ends_s = time.monotonic() + order.work_ms / 1000
        while time.monotonic() < ends_s:
            stages.enter(0.5, "working")
            time.sleep(_POLL_S)
        labels = sitk.GetImageFromArray(segmented(voxels, output_dir.parent.name))
        labels.CopyInformation(image)
        return BundleOutcome(
            segmentation=_write(labels, output_dir),
            labels=_LABELS,
            notes=(),
            stage_seconds={"working": order.work_ms / 1000},
            reports=(_report(order, output_dir),),
        )


def _write(labels: sitk.Image, folder: Path) -> Path:
    partial, path = folder / "partial-segmentation.nii.gz", folder / "segmentation.nii.gz"
    try:
        sitk.WriteImage(labels, str(partial), True)
    except RuntimeError as error:  # SimpleITK has one error for everything; here the disk is full
        raise OSError(28, str(error)) from error
    sync(partial)
    partial.replace(path)
    return path


def _report(order: Case, folder: Path) -> Report:
    """So that attachments, too, are hurt."""
    path = folder / "order.txt"
    path.write_text(f"{order}\n", encoding="utf-8")
    sync(path)
    return Report(path=path, description="What was ordered", mime_type="text/plain")


def main() -> None:
    settings = Settings()
    configure_logging("inference", json_lines=settings.log_json)
    broker = RabbitBroker(settings.amqp_url.get_secret_value(), "inference", settings.instance)
    server = QueueServer(
        broker=broker,
        bundles=[StandIn()],
        datastore=settings.shared_datastore(),
        instance=settings.instance,
        ahead=settings.requests_ahead,
    )
    server.start()
    wait_for_stop(stop_signal())
    server.stop(settings.stop_s)
    broker.close()
    exit_immediately()


if __name__ == "__main__":
    main()
