import pytest

from dss_broker.rabbit.refusal import too_old


@pytest.mark.parametrize("version", ["3.10.0", "3.13.7", "4.0.5", "10.0", "4.3.0-rc.1"])
def test_a_rabbitmq_from_3_10_on_is_taken(version: str) -> None:
    assert too_old({"product": "RabbitMQ", "version": version}) == ""


@pytest.mark.parametrize("version", ["3.9.29", "3.8.0-beta.2", "2.8.7"])
def test_an_older_one_is_named(version: str) -> None:
    assert too_old({"product": "RabbitMQ", "version": version}) == (
        f"DSS_AMQP_URL leads to RabbitMQ {version}, which is too old: RabbitMQ 3.10 or newer is needed."
    )


@pytest.mark.parametrize(
    "properties",
    [
        None,
        {},
        {"product": "LavinMQ", "version": "2.1.0"},
        {"product": "RabbitMQ"},
        {"product": "RabbitMQ", "version": "new"},
    ],
)
def test_a_server_that_does_not_say_its_version_is_tried(properties: object) -> None:
    assert too_old(properties) == ""
