# mypy: allow-untyped-calls
# (MONAI annotates only a part of its functions)
"""What a MONAI bundle costs beyond its network, each as a ratio within one run, with the same weights.

``python tests/bench/bench_inference.py``: small, for a CPU; ``--full``: as large as a clinical CT, for a GPU;
``--full --classes``: only the memory of 105 classes, in some minutes on a CPU too.
More than 300 lines: each measurement is short, and all share one bench and one table.
Nothing of MONAI's own is changed for the comparison: ``SlidingWindowInferer`` with the settings of the bundle.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from monai.inferers.inferer import SlidingWindowInferer
from monai.networks.nets.unet import UNet
from rich.console import Console
from rich.table import Table

from dss_broker.broker import Conversation
from dss_broker.memory import MemoryBroker
from dss_broker.messages import InferenceFinished, InferenceProgressed, RunInference
from dss_inference.bundle import Bundle, BundleOutcome
from dss_inference.bundle_catalogue import load
from dss_inference.device.runner import Runner, runner_for
from dss_inference.errors import Cancelled, IsCancelled
from dss_inference.monai_bundles.slab_argmax import slab_argmax
from dss_inference.monai_bundles.window_inference import WindowInference
from dss_inference.worker.progress_replies import ProgressReplies
from dss_inference.worker.server import QueueServer
from dss_phantom.chest import PhantomSpec, make_phantom
from dss_phantom.files import write_phantom

NETWORK = "running the network"
AROUND = {"reading the image", "writing the segmentation"}
"""Stages that need no device."""
CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Sizes in voxels."""

    image: tuple[int, int, int]
    spacing_mm: float
    roi: int
    channels: int
    classes: int
    many: tuple[int, int, int]
    queue: int


SMALL = Scale(
    image=(96, 80, 88),
    spacing_mm=4.0,
    roi=48,
    channels=8,
    classes=8,
    many=(128, 128, 150),
    queue=20,
)
FULL = Scale(
    image=(512, 512, 300),
    spacing_mm=0.7,
    roi=96,
    channels=32,
    classes=25,
    many=(512, 512, 600),
    queue=20,
)


@dataclass(frozen=True, kw_only=True)
class Row:
    what: str
    value: str
    goal: str = ""


@dataclass
class Bench:
    """``table`` grows while it goes on."""

    scale: Scale
    folder: Path
    runner: Runner
    rows: list[Row]

    def tell(self, what: str, value: str, goal: str = "") -> None:
        self.rows.append(Row(what=what, value=value, goal=goal))
        typer.echo(f"{what}: {value}", err=True)

    @property
    def device(self) -> torch.device:
        return torch.device(self.runner.device_name)

    @property
    def inferer(self) -> SlidingWindowInferer:
        return SlidingWindowInferer(
            (self.scale.roi,) * 3, sw_batch_size=1, overlap=0.25, mode="gaussian"
        )

    def network(self) -> torch.nn.Module:
        torch.manual_seed(1)
        return UNet(**_unet(self.scale)).to(self.device).eval()


def main(
    *,
    full: Annotated[bool, typer.Option(help="As large as a clinical CT.")] = False,
    queue: Annotated[bool, typer.Option(help="Only the queues of 20 volumes.")] = False,
    classes: Annotated[
        bool,
        typer.Option(help="Only the memory of 105 classes; minutes on a CPU in full size, too."),
    ] = False,
) -> None:
    warnings.simplefilter("ignore")  # MONAI's of its own future
    runner = runner_for("auto", 2)
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(scale=FULL if full else SMALL, folder=Path(scratch), runner=runner, rows=[])
        if classes:
            _many_classes(bench)
            _show(bench)
            return
        _prepare(bench)
        if queue:
            for name in ("bench", "lung-segmentation"):
                _queue(bench, load(name, "auto", 2, bench.folder / "bundles"))
            _show(bench)
            return
        with _one_thread():
            _windows(bench)
            _progress(bench)
        bundle = _cold_and_warm(bench)
        _cancellation(bench, bundle)
        _queue(bench, bundle)
    _many_classes(bench)
    _show(bench)


def _unet(scale: Scale) -> dict[str, Any]:
    n = scale.channels
    return {
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": scale.classes,
        "channels": [n, 2 * n, 4 * n],
        "strides": [2, 2],
        "num_res_units": 1,
    }


def _prepare(bench: Bench) -> None:
    """A phantom, and a bundle with the weights of ``Bench.network``."""
    scale = bench.scale
    spec = PhantomSpec(size=scale.image, spacing_mm=(scale.spacing_mm,) * 3)
    write_phantom(make_phantom(spec, bench.runner), bench.folder)
    root = bench.folder / "bundles" / "bench"
    (root / "configs").mkdir(parents=True)
    (root / "models").mkdir()
    channels = {str(c): f"class {c}" if c else "background" for c in range(scale.classes)}
    image = {"modality": "CT", "num_channels": 1}
    formats = {"inputs": {"image": image}, "outputs": {"pred": {"channel_def": channels}}}
    metadata = {"name": "Bench", "version": "1", "network_data_format": formats}
    (root / "configs" / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    (root / "configs" / "inference.json").write_text(json.dumps(_config(scale)), encoding="utf-8")
    torch.save(bench.network().state_dict(), root / "models" / "model.pt")


def _config(scale: Scale) -> dict[str, Any]:
    def step(kind: str, **settings: Any) -> dict[str, Any]:
        return {"_target_": kind, "keys": "image", **settings}

    window = {"a_min": -1000, "a_max": 1000, "b_min": 0, "b_max": 1, "clip": True}
    back = {"transform": "@preprocessing", "orig_keys": "image", "nearest_interp": True}
    return {
        "image_key": "image",
        "network": {"_target_": "UNet", **_unet(scale)},
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                step("EnsureChannelFirstd"),
                step("Orientationd", axcodes="RAS"),
                step("Spacingd", pixdim=[1.25 * scale.spacing_mm] * 3),
                step("ScaleIntensityRanged", **window),
            ],
        },
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": [scale.roi] * 3,
            "sw_batch_size": 1,
            "overlap": 0.25,
            "mode": "gaussian",
        },
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
                {"_target_": "Invertd", "keys": "pred", **back},
            ],
        },
    }


def _windows(bench: Bench) -> None:
    """Ours and MONAI's by turns, so that a noisy neighbour hurts both."""
    size = [round(n / 1.25) for n in bench.scale.image]
    image, network = torch.randn(1, 1, *size), bench.network()
    infer = WindowInference(
        bench.inferer, network, bench.device, channels=bench.scale.classes, may_take_argmax=True
    )
    calls = _count_windows(network)
    monai_s: list[float] = []
    monai_labels_s: list[float] = []
    ours_s: list[float] = []
    slabs_s: list[float] = []
    with torch.inference_mode():
        bench.inferer(image.to(bench.device), network)  # the first one is always slow
        windows, calls[0] = calls[0], 0
        for _ in range(5):
            with _timed(bench, monai_s):
                plain = bench.inferer(image.to(bench.device), network)
            with _timed(bench, monai_labels_s):
                torch.as_tensor(bench.inferer(image.to(bench.device), network)[0]).argmax(0)
            with _timed(bench, ours_s):
                ours = infer(image).values
            with _timed(bench, slabs_s):
                slabs = slab_argmax(
                    image,
                    network,
                    bench.inferer,
                    batch=1,
                    device=bench.device,
                    sums_on=bench.device,
                )
    assert isinstance(plain, torch.Tensor)
    best = plain[0].argmax(0).cpu()
    monai = min(monai_s)
    bench.tell(
        "windows a second, MONAI's inferer (a CPU: a second of a core)", f"{windows / monai:.2f}"
    )
    bench.tell("ours over MONAI's, windows a second", f"{monai / min(ours_s):.2f}", "at least 1")
    ratio = min(monai_labels_s) / min(slabs_s)
    bench.tell("slabs over MONAI's and argmax, windows a second", f"{ratio:.2f}", "at least 1")
    floor = "at least 0.9999" if bench.device.type == "cpu" else "at least 0.999 (half precision)"
    bench.tell("agreement of ours", f"{_agreement(ours.argmax(0), best):.6f}", floor)
    bench.tell("agreement of slabs", f"{_agreement(slabs, best):.6f}", floor)


def _count_windows(network: torch.nn.Module) -> list[int]:
    calls = [0]

    def before(_: object, inputs: tuple[torch.Tensor, ...]) -> None:
        calls[0] += len(inputs[0])

    network.register_forward_pre_hook(before)
    return calls


@contextmanager
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other spin, and what they spin looks like work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@contextmanager
def _timed(bench: Bench, seconds: list[float]) -> Iterator[None]:
    """On a GPU by the clock; on a CPU its own seconds, so that other programs do not count."""
    gpu = bench.device.type == "cuda"
    clock = time.monotonic if gpu else time.process_time
    began_s = clock()
    yield
    if gpu:
        torch.cuda.synchronize()
    seconds.append(clock() - began_s)


def _agreement(found: torch.Tensor, best: torch.Tensor) -> float:
    return float((found == best).double().mean())


def _run(bench: Bench, bundle: Bundle, cancelled: IsCancelled = lambda: False) -> BundleOutcome:
    output = bench.folder / "out"
    output.mkdir(exist_ok=True)
    return bundle.run(bench.folder / "ct.nii.gz", output, {}, lambda *_: None, cancelled)


def _cold_and_warm(bench: Bench) -> Bundle:
    outcomes: list[BundleOutcome] = []
    cold_s: list[float] = []
    warm_s: list[float] = []
    with _timed(bench, cold_s):
        bundle = load("bench", "auto", 2, bench.folder / "bundles")
        _run(bench, bundle)
    for _ in range(3):
        with _timed(bench, warm_s):
            outcomes.append(_run(bench, bundle))
    bench.tell("cold (loading, first image) over warm", f"{cold_s[0] / min(warm_s):.2f}")
    stages = outcomes[warm_s.index(min(warm_s))].stage_seconds
    for stage, seconds in stages.items():
        bench.tell(f"stage: {stage}", f"{seconds:.3f} s, {seconds / stages[NETWORK]:.2f} networks")
    goal = "at most 1.5 (GPU, warm)"
    bench.tell(
        "end to end over the network alone", f"{sum(stages.values()) / stages[NETWORK]:.2f}", goal
    )
    bench.tell("peak memory of the warm run", f"{outcomes[-1].peak_memory_bytes / 1e6:.0f} MB")
    return bundle


def _progress(bench: Bench) -> None:
    """What a report before each batch costs, against the same work without."""
    image, network = torch.randn(1, 1, *(bench.scale.roi,) * 3).to(bench.device), bench.network()
    told: list[tuple[float, str]] = []

    def calls(count: int) -> float:
        seconds: list[float] = []
        with torch.inference_mode(), _timed(bench, seconds):
            for _ in range(count):
                network(image)
        return seconds[0]

    calls(2)
    without, beside = [], []
    for _ in range(5):
        without.append(calls(4))
        with ProgressReplies(lambda *progress: told.append(progress)) as report:
            hook = network.register_forward_pre_hook(partial(_tell_progress, report))
            beside.append(calls(4))
            hook.remove()
    overhead = statistics.median(beside) / statistics.median(without) - 1
    bench.tell("progress overhead", f"{100 * overhead:+.2f} %", "below 1 %")


def _tell_progress(report: ProgressReplies, *_: object) -> None:
    report(time.monotonic() % 1, NETWORK)


def _cancellation(bench: Bench, bundle: Bundle) -> None:
    """Cancelled while the network runs: from the wish to the end of the work."""
    asked: list[float] = []
    checks = 0

    def cancelled() -> bool:
        nonlocal checks
        checks += 1
        if checks == 6:  # reading, waiting, preparing, network, and the windows
            asked.append(time.monotonic())
        return bool(asked) and checks > 6

    try:
        _run(bench, bundle, cancelled)
    except Cancelled:
        bench.tell(
            "cancellation", f"{1000 * (time.monotonic() - asked[0]):.0f} ms", "below 1000 ms"
        )
    else:
        bench.tell("cancellation", "came too late: too few windows")


def _queue(bench: Bench, bundle: Bundle) -> None:
    """Reading and writing overlap with the network: the whole queue over its computing, and over all its stages.

    Both sums are of the queue's own volumes, so that what else the machine does slows both sides.
    """
    alone_s = statistics.median(sum(_run(bench, bundle).stage_seconds.values()) for _ in range(3))
    broker = MemoryBroker()
    server = QueueServer(
        broker=broker, bundles=[bundle], datastore=bench.folder, instance="bench", shared=False
    )
    server.start()
    began_s = time.monotonic()
    talks = [broker.request(_request(bundle.name, n)) for n in range(bench.scale.queue)]
    replies = [_finished(talk) for talk in talks]
    whole_s = time.monotonic() - began_s
    server.stop(10)
    broker.close()
    count = bench.scale.queue
    stages_s = sum(sum(reply.stage_seconds.values()) for reply in replies)
    computing_s = sum(
        seconds
        for reply in replies
        for stage, seconds in reply.stage_seconds.items()
        if stage not in AROUND
    )
    bench.tell(
        f"{bundle.name}, queue of {count} over its computing",
        f"{whole_s / computing_s:.3f}",
        "at most 1.05",
    )
    bench.tell(
        f"{bundle.name}, queue of {count} over all its stages",
        f"{whole_s / stages_s:.3f}",
        "below 1",
    )
    bench.tell(
        f"{bundle.name}, queue of {count} over as many alone",
        f"{whole_s / alone_s / count:.2f}",
        "below 1",
    )


def _finished(talk: Conversation) -> InferenceFinished:
    while isinstance(reply := talk.next(3600), InferenceProgressed):
        pass
    assert isinstance(reply, InferenceFinished), reply
    return reply


def _request(bundle: str, number: int) -> RunInference:
    return RunInference(
        ticket_id=number,
        claim_id="bench",
        bundle=bundle,
        image_path="ct.nii.gz",
        output_dir=f"queue/{bundle}/{number}",
        parameters={},
    )


def _many_classes(bench: Bench) -> None:
    """In a process of its own, whose peak is known.  On a GPU its own memory is told as well."""
    size = " x ".join(map(str, bench.scale.many))
    command = [sys.executable, "-W", "ignore", __file__, "--many", json.dumps(bench.scale.many)]
    done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
    whole_gb = 4 * 105 * bench.scale.many[0] * bench.scale.many[1] * bench.scale.many[2] / 1e9
    goal = "below 16 GB" if bench.scale is FULL else "below 0.25 GB beside torch"
    bench.tell(f"105 classes of {size}", done.stdout.strip(), goal)
    bench.tell("their channels in one piece", f"{whole_gb:.1f} GB")


def many(size: tuple[int, int, int]) -> None:
    """The network is next to nothing: it is the memory round it that is looked at."""
    device = torch.device(runner_for("auto", 2).device_name)
    roi = 96 if max(size) > 300 else 24
    network = torch.nn.Conv3d(1, 105, 1).to(device)
    inferer = SlidingWindowInferer((roi,) * 3, overlap=0.25, mode="gaussian")
    infer = WindowInference(inferer, network, device, channels=105, may_take_argmax=True)
    began_s = time.monotonic()
    with torch.inference_mode():
        infer(torch.randn(1, 1, *size)) if max(size) > 300 else slab_argmax(
            torch.randn(1, 1, *size), network, inferer, batch=1, device=device, sums_on=device
        )
    seconds = time.monotonic() - began_s
    said = f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB, {seconds:.0f} s"
    if device.type == "cuda":
        said += f", GPU {torch.cuda.max_memory_allocated() / 1e9:.2f} GB"
    typer.echo(said)


def _show(bench: Bench) -> None:
    table = Table("what", "measured", "goal", title=f"on {bench.runner.device}")
    for row in bench.rows:
        table.add_row(row.what, row.value, row.goal)
    Console(width=110).print(table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--many"]:
        many(tuple(json.loads(sys.argv[2])))
    else:
        typer.run(main)
