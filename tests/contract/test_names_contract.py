"""A service or bundle may have any name: both brokers route it, and to nobody else."""

from dss_broker import messages as m
from dss_broker import topology
from dss_broker.broker import Delivery
from support.brokers import Bench
from support.waiting import wait_until

LONG = "Сегментация лёгких на компьютерных томограммах"
NAMES = ["", "*", "#", "a.b", "a b\n", LONG, LONG + "!", "x" * topology.LONGEST_WORD, "x" * 500]


def ready(service: str) -> m.TicketReady:
    return m.TicketReady(ticket_id=1, service=service, service_hash="h")


def run(bundle: str) -> m.RunInference:
    return m.RunInference(
        ticket_id=1, claim_id="c", bundle=bundle, image_path="i", output_dir="o", parameters={}
    )


def finished(delivery: Delivery) -> None:
    delivery.reply(m.InferenceFailed(ticket_id=1, claim_id="c", reason="done"))


def test_each_name_has_a_queue_of_its_own(bench: Bench) -> None:
    heard: dict[str, list[m.Message]] = {name: [] for name in NAMES}
    portal, worker, dispatcher = (bench.program(n) for n in ("portal", "inference", "dispatch"))
    for name in NAMES:
        dispatcher.consume(
            topology.dispatch(name, prefetch=100),
            lambda delivery, name=name: heard[name].append(delivery.message),  # type: ignore[misc]  # bound now
        )
        worker.consume(topology.inference(name), finished)

    for name in NAMES:
        portal.publish(ready(name)).result(15)
        conversation = dispatcher.request(run(name))
        assert isinstance(conversation.next(15), m.InferenceFailed)
        conversation.close()

    wait_until(lambda: all(heard.values()))
    assert heard == {name: [ready(name)] for name in NAMES}
