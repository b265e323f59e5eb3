"""Answers of 500 and more are counted, but for those of probes."""

from prometheus_client import REGISTRY
from quart import Quart

from dss_portal.web import metering


def errors() -> float:
    return REGISTRY.get_sample_value("dss_http_errors_total") or 0.0


async def test_errors_are_counted_and_refused_probes_and_requests_are_not() -> None:
    app = Quart("counted")
    metering.install(app)

    @app.get("/<int:status>")
    async def answer(status: int) -> tuple[str, int]:
        return "", status

    @app.get("/readyz")
    async def ready() -> tuple[str, int]:
        return "not yet", 503

    client, before = app.test_client(), errors()

    for path in ("/200", "/404", "/readyz", "/500", "/503"):
        await client.get(path)

    assert errors() == before + 2
