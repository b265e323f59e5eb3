"""Ports, secrets and variables: made once, kept, readable by shells and by nobody else."""

import socket
import subprocess
from pathlib import Path

import pytest

from dss_portal.settings import SECRET_KEY_LENGTH
from dss_stack.addresses import Addresses
from dss_stack.errors import StackError
from dss_stack.ports import LOOPBACK, choose_ports, is_free
from dss_stack.settings import Settings
from dss_stack.stack import Stack
from dss_stack.stored_facts import signing_key, stored_facts


def addresses(**changes: object) -> Addresses:
    known: dict[str, object] = {
        "amqp_url": "amqp://dss:secret@127.0.0.1:1/%2F",
        "database_url": "postgres://dss:secret@127.0.0.1:2/dss",
        "datastore": Path("/tmp/datastore"),
        "bind": "127.0.0.1:8080",
        "public_url": "http://127.0.0.1:8080",
        "secret_key": "key",
        "console_url": None,
        "console_user": None,
        "console_password": None,
    }
    return Addresses(**(known | changes))  # type: ignore[arg-type] # a test may spoil any of them


def test_facts_are_the_same_when_asked_for_again(tmp_path: Path) -> None:
    first = stored_facts(tmp_path / "facts.json", ("a", "b"))

    assert stored_facts(tmp_path / "facts.json", ("a", "b")) == first


def test_the_portal_takes_the_key_of_a_stack_and_gets_the_same_one_again(tmp_path: Path) -> None:
    facts = stored_facts(tmp_path / "facts.json", ("a",))

    key = signing_key(facts)

    assert len(key) >= SECRET_KEY_LENGTH
    assert facts["secret"] not in key
    assert signing_key(stored_facts(tmp_path / "facts.json", ("a",))) == key


def test_facts_that_were_half_written_are_made_anew(tmp_path: Path) -> None:
    (tmp_path / "facts.json").write_text('{"ports": {"a"', encoding="utf-8")

    assert set(stored_facts(tmp_path / "facts.json", ("a",))["ports"]) == {"a"}


def test_only_the_owner_may_read_facts(tmp_path: Path) -> None:
    stored_facts(tmp_path / "facts.json", ("a",))

    assert (tmp_path / "facts.json").stat().st_mode & 0o077 == 0


def test_chosen_ports_differ() -> None:
    assert len(set(choose_ports(("a", "b", "c")).values())) == 3


def test_a_port_is_not_chosen_twice_even_before_somebody_listens_there() -> None:
    chosen = [choose_ports(("a",))["a"] for _ in range(500)]

    assert len(set(chosen)) == 500


def test_a_favourite_port_is_chosen_if_it_is_free() -> None:
    favourite = choose_ports(("a",))["a"]

    assert choose_ports(("b",), b=favourite) == {"b": favourite}


def test_a_favourite_port_goes_to_the_name_that_it_is_meant_for() -> None:
    favourite = choose_ports(("a",))["a"]

    assert choose_ports(("a", "b"), b=favourite)["b"] == favourite


def test_a_favourite_port_in_the_range_is_given_to_one_name_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DSS_PORTS", "31970-31970")

    with pytest.raises(StackError, match="too few free ports"):
        choose_ports(("a", "b"), a=31970)


def test_a_favourite_port_that_is_taken_is_left_alone() -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        favourite = taken.getsockname()[1]

        assert not is_free(favourite)
        assert choose_ports(("a",), a=favourite) != {"a": favourite}


def test_a_shell_reads_the_variables_as_they_were_written(tmp_path: Path) -> None:
    tricky = Path('/tmp/it\'s a "store" $HOME `id`')
    addresses(datastore=tricky).write(tmp_path / "env")

    words = ["sh", "-c", f'. "{tmp_path}/env"; printf %s "$DSS_DATASTORE"']
    printed = subprocess.run(words, capture_output=True, encoding="utf-8", check=True).stdout

    assert printed == str(tricky)


def test_only_the_owner_may_read_the_variables(tmp_path: Path) -> None:
    addresses().write(tmp_path / "env")

    assert (tmp_path / "env").stat().st_mode & 0o077 == 0


def test_a_console_that_is_not_ours_is_not_in_the_variables() -> None:
    assert "DSS_CONSOLE_URL" not in addresses().variables()


def test_a_broker_named_in_the_settings_is_used_instead_of_our_own(tmp_path: Path) -> None:
    stack = Stack(Settings(state=tmp_path, amqp_url="amqp://elsewhere"), {})

    assert stack.addresses().amqp_url == "amqp://elsewhere"
    assert "rabbitmq" not in stack.logs()


def test_after_sourcing_its_own_variables_the_stack_is_still_ours(tmp_path: Path) -> None:
    own = Stack(Settings(state=tmp_path), {}).rabbit.amqp_url

    assert Stack(Settings(state=tmp_path, amqp_url=own), {}).owns_rabbit


def test_every_program_has_a_port_for_its_metrics(tmp_path: Path) -> None:
    stack = Stack(Settings(state=tmp_path), {})

    metrics = {program.metrics for program in stack.programs().in_stop_order}

    assert len(metrics) == len(stack.programs().in_stop_order)


def test_only_what_is_down_gets_another_port_when_its_own_is_taken(tmp_path: Path) -> None:
    stack = Stack(Settings(state=tmp_path), {})
    before = dict(stack._facts["ports"])

    with socket.create_server((LOOPBACK, before["inference-metrics"])):
        stack._take_free_ports()

    after = stack._facts["ports"]
    assert [name for name in before if after[name] != before[name]] == ["inference-metrics"]


def test_a_stack_that_refuses_prometheus_has_none(tmp_path: Path) -> None:
    stack = Stack(Settings(state=tmp_path, prometheus=False), {})

    assert stack.prometheus_url == ""
    assert "prometheus" not in stack.logs()


def test_ports_are_chosen_from_the_range_of_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSS_PORTS", "31990-31999")

    chosen = choose_ports(("a", "b", "c")).values()

    assert all(31990 <= port <= 31999 for port in chosen)


@pytest.mark.parametrize("text", ["many", "5-4", "0-9", "1-70000"])
def test_a_range_of_ports_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("DSS_PORTS", text)

    with pytest.raises(StackError, match=f"DSS_PORTS is '{text}'"):
        choose_ports(("a",))


def test_too_few_free_ports_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSS_PORTS", "31980-31980")
    choose_ports(("a",))

    with pytest.raises(StackError, match="too few free ports"):
        choose_ports(("b",))
