"""One bundle that cannot be loaded or served holds none of the worker's others."""

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pika  # no py.typed
import pytest

from dss_broker import messages as m
from dss_broker import topology
from dss_broker.broker import Delivery
from dss_broker.rabbit import RabbitBroker
from dss_inference import bundle_catalogue as registry
from dss_inference.bundle import Bundle
from dss_inference.errors import InferenceError
from dss_inference.monai_bundles.unusable_bundle import UnusableBundle
from dss_inference.worker.server import QueueServer
from support import brokers
from support.copy_worker import CopyBundle
from support.waiting import wait_until

url = brokers.url


@pytest.mark.stack
def test_a_queue_that_the_broker_refuses_holds_no_other_bundle(url: str, tmp_path: Path) -> None:
    """It was declared by somebody else, in another way."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        connection.channel().queue_declare(topology.inference("a").queue, durable=True)
    announced: set[str] = set()

    def hear(delivery: Delivery) -> None:
        if isinstance(delivery.message, m.WorkerAnnounced):
            announced.add(delivery.message.bundle)

    with closing(RabbitBroker(url, "portal", "1")) as portal:
        portal.consume(topology.PORTAL_EVENTS, hear)
        with closing(RabbitBroker(url, "inference", "1")) as broker:
            bundles = [CopyBundle(name=name) for name in ("a", "b", "c")]
            server = QueueServer(broker=broker, bundles=bundles, datastore=tmp_path, instance="1")
            starting = threading.Thread(target=server.start, daemon=True)
            starting.start()

            wait_until(lambda: announced == {"b", "c"}, 20)
            with pika.BlockingConnection(pika.URLParameters(url)) as connection:
                connection.channel().queue_delete(topology.inference("a").queue)

            wait_until(lambda: announced == {"a", "b", "c"}, 20)
            starting.join(10)
            assert not starting.is_alive()
            server.stop(1)


def _folder(where: Path) -> Path:
    (where / "configs").mkdir(parents=True)
    (where / "configs" / "metadata.json").write_text("{}", encoding="utf-8")
    return where


def test_a_bundle_that_breaks_while_it_is_loaded_says_so_to_who_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _folder(tmp_path / "broken")

    def breaks(_: Path) -> list[str]:
        raise KeyError("network_def")

    monkeypatch.setattr(registry, "problems", breaks)

    loaded = registry.load_to_serve("broken", "cpu", 1, tmp_path, 0)

    assert isinstance(loaded, UnusableBundle)
    with pytest.raises(InferenceError, match="could not be loaded: KeyError: 'network_def'"):
        loaded.run(tmp_path, tmp_path, {}, lambda *_: None, lambda: False)


@pytest.mark.parametrize("load", [registry.load, registry.load_to_serve])
def test_an_installed_bundle_with_the_name_of_a_built_in_one_is_refused(
    tmp_path: Path, load: Callable[..., Bundle]
) -> None:
    _folder(tmp_path / "lung-segmentation")

    with pytest.raises(InferenceError, match="is that of a built-in bundle; rename its folder"):
        load("lung-segmentation", "cpu", 1, tmp_path, 0)


def test_a_folder_whose_name_is_no_text_is_left_out(tmp_path: Path) -> None:
    _folder(tmp_path / "good")
    _folder(Path(str(tmp_path).encode().decode()) / b"\xff\xfe".decode(errors="surrogateescape"))

    assert list(registry.installed_in(tmp_path)) == ["good"]
