"""``/api/openapi.json``: what programs may ask of the portal; ``/service.schema.json``: what a service says."""

from quart import Blueprint, Response

from dss_broker.service_schema import json_schema
from dss_portal.openapi.description import description
from dss_portal.web.answers import json_body
from dss_portal.web.context import components

blueprint = Blueprint("openapi", __name__)


@blueprint.get("/api/openapi.json")
async def document() -> Response:
    return json_body(description(components().settings.public_url))


@blueprint.get("/service.schema.json")
async def service_schema() -> Response:
    """For editors: the JSON Schema of a service.json."""
    return json_body(json_schema())
