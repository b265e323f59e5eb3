"""``/api/openapi.json``: the description of the API; ``/service.schema.json``: the schema of a service.json."""

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
    """The JSON Schema of a service.json, for editors."""
    return json_body(json_schema())
