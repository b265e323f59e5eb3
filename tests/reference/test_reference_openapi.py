"""The published description of the API, held to the routes that there are."""

import re

from dss_broker.memory import MemoryBroker
from dss_portal.app import create_app
from dss_portal.openapi.description import description
from dss_portal.openapi.operations import OPERATIONS
from dss_portal.settings import Settings


def test_the_description_lists_exactly_the_routes_of_the_api(tmp_path: object) -> None:
    settings = Settings.model_validate(
        {
            "database_url": "postgres://dss@127.0.0.1/dss",
            "amqp_url": "amqp://memory",
            "datastore": tmp_path,
            "secret_key": "k" * 32,
        }
    )
    broker = MemoryBroker()
    rules = list(create_app(settings, broker).url_map.iter_rules())
    broker.close()

    served = {
        (method.lower(), re.sub(r"<(?:[^<>]*:)?(\w+)>", r"{\1}", rule.rule))
        for rule in rules
        for method in (rule.methods or set()) - {"HEAD"}
        if rule.rule.startswith("/api")
    }

    assert {(operation.method, operation.path) for operation in OPERATIONS} == served


def test_no_operation_is_described_twice() -> None:
    assert len({(o.method, o.path) for o in OPERATIONS}) == len(OPERATIONS)


def test_the_description_names_both_ways_to_sign_in() -> None:
    told = description("https://dss.example.org/")

    assert told["security"] == [{"session": []}, {"token": []}]
    assert told["servers"] == [{"url": "https://dss.example.org"}]
