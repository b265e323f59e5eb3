import pytest

from dss_broker import messages as m
from dss_broker import topology


def test_a_name_with_dots_slashes_and_spaces_stays_one_readable_word() -> None:
    assert topology.word("lung v1.2/left") == "lung%20v1%2E2%2Fleft"


def test_different_services_have_different_queues() -> None:
    assert topology.dispatch("lung.1").queue != topology.dispatch("lung%2E1").queue


def test_a_ticket_goes_to_the_queue_of_its_service() -> None:
    ready = m.TicketReady(ticket_id=1, service="Lung v1.2", service_hash="h")

    assert topology.routing_key(ready) in topology.dispatch("Lung v1.2").keys


def test_an_inference_request_goes_to_the_queue_of_its_bundle() -> None:
    run = m.RunInference(
        ticket_id=1, claim_id="c", bundle="lung.seg", image_path="a", output_dir="b", parameters={}
    )

    assert topology.routing_key(run) in topology.inference("lung.seg").keys


def test_a_reply_has_no_routing_key() -> None:
    with pytest.raises(ValueError, match="ClaimRefused is a reply"):
        topology.routing_key(m.ClaimRefused(ticket_id=1, reason="gone"))


def test_only_announcements_and_withdrawals_may_find_nobody() -> None:
    assert topology.is_mandatory(m.TicketReady(ticket_id=1, service="s", service_hash="h"))
    assert topology.is_mandatory(m.ClaimHeartbeat(ticket_id=1, claim_id="c"))
    assert not topology.is_mandatory(m.TicketWithdrawn(ticket_id=1, service="s"))
    assert topology.is_mandatory(m.WorkerAnnounced(bundle="b", instance="i", device="cpu"))


LONG = "Сегментация лёгких на компьютерных томограммах"
ODD = ["", " ", ".", "*", "#", "a\nb", "a.b.*.#", "\x00", "\ud800", LONG, "x" * 1000, "é" * 300]


@pytest.mark.parametrize("name", ODD)
def test_any_name_has_keys_and_queues_that_amqp_can_write(name: str) -> None:
    keys = [
        *topology.dispatch(name).keys,
        *topology.workers("dispatch", name).keys,
        topology.reply_queue("inference", name, "0123abcd"),
        topology.routing_key(
            m.ServiceAnnounced(service=name, provider="p", instance="i", descriptor={})
        ),
    ]
    tags = [  # of consumers, which add their prefetch, and of own queues, which add six digits
        f"{topology.dispatch(name).queue} 999",
        f"{topology.inference(name).queue} 999",
        f"{topology.own_queue('dss.inference.withdrawn', 'inference', name)}.abcdef 999",
    ]

    assert [key for key in keys + tags if len(key.encode()) > 255] == []
    assert "." not in topology.word(name)
    assert topology.word(name)


def test_names_that_are_too_long_for_a_key_stay_different() -> None:
    words = {topology.word("x" * 1000), topology.word("x" * 1001), topology.word(LONG)}

    assert len(words) == 3
    assert all("+" in word for word in words)
    assert topology.word(topology.word(LONG)) not in words


@pytest.mark.parametrize("length", [1, 39, 200, topology.LONGEST_WORD])
def test_a_plain_name_keeps_the_queue_that_it_always_had(length: int) -> None:
    assert topology.dispatch("x" * length).queue == "dss.dispatch." + "x" * length
