"""Builds the JSON Schema of a complete service.json, which the portal publishes."""

from typing import TypeAlias

import msgspec

from dss_broker.descriptor import Descriptor
from dss_broker.dispatch_section import BUILT_IN_RULES, Dispatch, ProviderKind

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
NEEDED: dict[ProviderKind, list[str]] = {
    ProviderKind.PYTHON: [],
    ProviderKind.PROGRAM: ["command"],
    ProviderKind.CONTAINER: ["command", "image"],
    ProviderKind.BUNDLE: ["bundle"],
    ProviderKind.SERVER: ["bundle", "url"],
    ProviderKind.RULES: ["rules"],
}
"""The fields that each kind of provider requires."""


def json_schema() -> dict[str, Json]:
    """The JSON Schema of a service.json.  It does not check lengths, uniqueness, or what depends on the machine."""
    _, definitions = msgspec.json.schema_components((Descriptor, Dispatch))
    described = definitions["Descriptor"]["properties"]
    described.pop("published")
    described["dispatch"] = {"$ref": "#/$defs/Dispatch"}
    definitions["Tag"]["properties"]["name"]["pattern"] = "^[^ ,]+$"
    definitions["Deadlines"]["additionalProperties"] = False
    dispatch = definitions["Dispatch"]
    dispatch["additionalProperties"] = False
    dispatch["properties"]["rules"]["enum"] = ["", *BUILT_IN_RULES]
    dispatch["allOf"] = [_needs(kind, fields) for kind, fields in NEEDED.items() if fields]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": "#/$defs/Descriptor",
        "$defs": definitions,
    }


def _needs(kind: ProviderKind, fields: list[str]) -> Json:
    chosen: Json = {"properties": {"provider": {"const": kind.value}}, "required": ["provider"]}
    return {"if": chosen, "then": {"required": [*fields]}}
